"""Maps of expression over a slide: made tile by tile, kept as Zarr, drawn over the tissue."""

from miso.maps.expression_map import ExpressionMap, open_map
from miso.maps.predictor import Predictor, load

__all__ = ["ExpressionMap", "Predictor", "load", "open_map"]
