from .maps.expression_map import ExpressionMap, open_map
from .maps.loading import from_pretrained, load
from .maps.predictor import Predictor
from .maps.share import share
from .models.hub import push_to_hub
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
    "from_pretrained",
    "load",
    "open_cohort",
    "open_map",
    "open_sample",
    "open_slide",
    "push_to_hub",
    "share",
]
