from .maps.expression_map import ExpressionMap, open_map
from .maps.predictor import Predictor, load
from .samples.cohort import Cohort, open_cohort
from .samples.sample import Sample, open_sample
from .slides.open import open_slide
from .slides.slide import Slide

__all__ = [
    "Cohort",
    "ExpressionMap",
    "Predictor",
    "Sample",
    "Slide",
    "load",
    "open_cohort",
    "open_map",
    "open_sample",
    "open_slide",
]
