"""A whole-slide image opened for reading; every position is in level-0 pixels, (x, y), origin top-left."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from miso.errors import SlideError
from miso.slides.shrink import box_shrink
from miso.units import Resolution

RGB = UInt8[NDArray[np.uint8], "height width 3"]
WHITE = 255
SAME_SCALE = 1e-3
"""Scales closer than this are one scale: pixels are copied, not resampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One layer of a pyramid: its (width, height) and how many level-0 pixels one of its pixels spans."""

    size_px: tuple[int, int]
    downsample: float


class Slide(ABC):
    """A read-only image with a known resolution and where that came from.

    Safe to read from several threads at once.
    """

    def __init__(self, path: Path, levels: tuple[Level, ...], resolution: Resolution | None) -> None:
        self.path, self.levels, self._resolution = path, levels, resolution

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height) of level 0."""
        return self.levels[0].size_px

    @property
    def has_resolution(self) -> bool:
        """Whether the µm per pixel are known."""
        return self._resolution is not None

    @property
    def resolution(self) -> Resolution:
        """µm per level-0 pixel with its source.

        Raises
        ------
        SlideError
            If neither the file nor the caller said it.
        """
        if self._resolution is None:
            raise SlideError(
                f"no resolution in {self.path.name!r}; pass --mpp (µm per pixel, e.g. 0.25 for a 40× scan; "
                "a section of a cohort knows it from its spots)"
            )
        return self._resolution

    def resolve(self, resolution: Resolution) -> None:
        """Take another source's word for the µm per level-0 pixel."""
        self._resolution = resolution

    @property
    def mpp(self) -> float:
        """µm per level-0 pixel."""
        return self.resolution.mpp

    def level_mpp(self, level: int) -> float:
        """µm per pixel of a pyramid level.

        Raises
        ------
        SlideError
            If the slide has no such level.
        """
        return self.mpp * self.levels[self._checked(level)].downsample

    def _checked(self, level: int) -> int:
        if not 0 <= level < len(self.levels):
            raise SlideError(f"{self.path.name!r} has levels 0 to {len(self.levels) - 1}, not {level}")
        return level

    def read(self, origin_xy: tuple[float, float], size_px: tuple[int, int], mpp: float) -> RGB:
        """Read a region at a resolution, white where it lies off the slide.

        Parameters
        ----------
        origin_xy
            The region's top-left corner in level-0 pixels; may be fractional or off the slide.
        size_px
            (width, height) of the result.
        mpp
            µm per pixel of the result. The nearest finer level is resampled (bicubic, antialiased), without
            any white mixed in at the slide's border; at a level's own resolution its pixels are copied as
            they are, from the nearest whole pixel.

        Raises
        ------
        SlideError
            If the file turns out to be damaged there.
        """
        scale = mpp / self.mpp
        index = self._level_for(scale)
        downsample = self.levels[index].downsample
        step = scale / downsample
        x, y = origin_xy[0] / downsample, origin_xy[1] / downsample
        width, height = size_px
        if abs(step - 1) < SAME_SCALE:
            return self._read_padded(index, (round(x), round(y)), size_px)
        margin = int(np.ceil(2 * max(step, 1.0))) + 1
        left, top = int(np.floor(x)) - margin, int(np.floor(y)) - margin
        right, bottom = int(np.ceil(x + width * step)) + margin, int(np.ceil(y + height * step)) + margin
        source = self._read_padded(index, (left, top), (right - left, bottom - top), border="repeated")
        box = (x - left, y - top, x - left + width * step, y - top + height * step)
        region = np.asarray(Image.fromarray(source).resize(size_px, Image.Resampling.BICUBIC, box=box))
        level_width, level_height = self.levels[index].size_px
        off = _off(y, height, step, level_height)[:, None] | _off(x, width, step, level_width)
        return np.where(off[..., None], np.uint8(WHITE), region) if off.any() else region

    def read_level(self, origin_xy: tuple[int, int], size_px: tuple[int, int], level: int) -> RGB:
        """Copy a level's own pixels, white where they lie off the slide.

        Parameters
        ----------
        origin_xy
            The region's top-left corner in whole level-0 pixels. Between two pixels of a coarser level, a
            slide that openslide reads is interpolated as openslide does, others take the nearest pixel.
        size_px
            (width, height) in pixels of the level.

        Raises
        ------
        SlideError
            If the slide has no such level, or the file turns out to be damaged there.
        """
        downsample = self.levels[self._checked(level)].downsample
        return self._read_padded(
            level, (round(origin_xy[0] / downsample), round(origin_xy[1] / downsample)), size_px
        )

    def thumbnail(self, max_px: int = 1024) -> tuple[RGB, float]:
        """Return the whole slide with its longer side at most `max_px`, and its level-0 pixels per pixel."""
        width, height = self.size_px
        scale = max(max(width, height) / max_px, 1.0)
        size = max(round(width / scale), 1), max(round(height / scale), 1)
        index = self._level_for(scale)
        return self._shrink(index, size), scale

    def _level_for(self, scale: float) -> int:
        """Return the coarsest level that is no coarser than `scale` level-0 pixels a pixel."""
        fine = [i for i, level in enumerate(self.levels) if level.downsample <= scale * (1 + SAME_SCALE)]
        return max(fine, default=0)

    def _shrink(self, index: int, size_px: tuple[int, int]) -> RGB:
        return box_shrink(partial(self._read_region, index), self.levels[index].size_px, size_px)

    def _read_padded(
        self,
        index: int,
        origin: tuple[int, int],
        size: tuple[int, int],
        border: Literal["white", "repeated"] = "white",
    ) -> RGB:
        """Read pixels of a level; off the slide they are white, or those of the slide's border go on."""
        (x, y), (width, height) = origin, size
        level_width, level_height = self.levels[index].size_px
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + width, level_width), min(y + height, level_height)
        if (x0, y0, x1, y1) == (x, y, x + width, y + height):
            return self._read_region(index, origin, size)
        if x1 <= x0 or y1 <= y0:
            return np.full((height, width, 3), WHITE, dtype=np.uint8)
        seen = self._read_region(index, (x0, y0), (x1 - x0, y1 - y0))
        off = ((y0 - y, y + height - y1), (x0 - x, x + width - x1), (0, 0))
        if border == "repeated":
            return np.pad(seen, off, mode="edge")
        return np.pad(seen, off, constant_values=WHITE)

    @abstractmethod
    def _read_region(self, index: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        """Read pixels of a level, in that level's own pixels, wholly inside it."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        resolution = str(self._resolution) if self._resolution else "resolution unknown"
        width, height = self.size_px
        return f"{type(self).__name__}({self.path.name!r}, {width} × {height} px, {resolution})"


def _off(start: float, count: int, step: float, end: int) -> NDArray[np.bool_]:
    """Which of `count` pixels along an axis have their centres off a level that is `end` pixels long."""
    center = start + (np.arange(count) + 0.5) * step
    return np.asarray((center < 0) | (center > end))
