"""Whole-slide images, opened for reading."""

from miso.slides.open import open_slide
from miso.slides.slide import Level, Slide

__all__ = ["Level", "Slide", "open_slide"]
