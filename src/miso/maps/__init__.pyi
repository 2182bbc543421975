from .expression_map import ExpressionMap, open_map
from .loading import from_pretrained, load
from .predictor import Predictor

__all__ = ["ExpressionMap", "Predictor", "from_pretrained", "load", "open_map"]
