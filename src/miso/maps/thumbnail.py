"""A small picture of a whole slide that knows exactly how large the slide is, in level-0 pixels."""

from dataclasses import dataclass
from typing import Self

from miso.slides.slide import RGB, Slide

THUMBNAIL_PX = 1536
"""Longer side of the thumbnail that a map carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle on a slide, by its edges in whole level-0 pixels; it may reach off the slide."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height)."""
        return self.right - self.left, self.bottom - self.top

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """(left, right, bottom, top), as matplotlib wants it."""
        return self.left, self.right, self.bottom, self.top


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """`rgb` stretches exactly over `slide_size_px` (width, height)."""

    rgb: RGB
    slide_size_px: tuple[int, int]

    @classmethod
    def of(cls, slide: Slide, max_px: int = THUMBNAIL_PX) -> Self:
        """Shrink a slide to at most `max_px` on its longer side."""
        rgb, _ = slide.thumbnail(max_px)
        return cls(rgb=rgb, slide_size_px=slide.size_px)

    @property
    def step_xy(self) -> tuple[float, float]:
        """Level-0 pixels per pixel along x and y; they differ by rounding only."""
        height, width = self.rgb.shape[:2]
        return self.slide_size_px[0] / width, self.slide_size_px[1] / height

    @property
    def box(self) -> Box:
        """The whole slide."""
        width, height = self.slide_size_px
        return Box(left=0, top=0, right=width, bottom=height)
