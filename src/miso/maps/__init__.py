"""Maps of expression over a slide: made tile by tile, kept as Zarr, drawn over the tissue."""

from miso.maps.expression_map import ExpressionMap, open_map
from miso.maps.loading import from_pretrained, load
from miso.maps.predictor import Predictor

__all__ = ["ExpressionMap", "Predictor", "from_pretrained", "load", "open_map"]
