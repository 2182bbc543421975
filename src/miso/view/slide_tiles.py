"""A slide as Deep Zoom tiles: each level half of the next, the last at full resolution, JPEG."""

import io
import math
import threading

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from miso.slides import Slide

TILE_PX = 512
QUALITY = 85
OVERVIEW_PX = 2048
"""Longer side of the picture that coarse tiles are cut from where the slide has no level near them."""
DIRECT = 8
"""A tile is read from the slide itself if at most so many pixels along a side come to one of it."""

RGB = UInt8[NDArray[np.uint8], "height width 3"]


class SlideTiles:
    """The tiles of one slide; safe to ask from several threads."""

    def __init__(self, slide: Slide) -> None:
        self.slide = slide
        self.n_levels = math.ceil(math.log2(max(slide.size_px))) + 1
        self._overview: tuple[RGB, float] | None = None
        self._lock = threading.Lock()

    def size_px(self, level: int) -> tuple[int, int]:
        """(width, height) of a level."""
        width, height = (math.ceil(side / self._scale(level)) for side in self.slide.size_px)
        return width, height

    def shape(self, level: int) -> tuple[int, int]:
        """(columns, rows) of the tiles of a level."""
        columns, rows = (math.ceil(side / TILE_PX) for side in self.size_px(level))
        return columns, rows

    def tile(self, level: int, column: int, row: int) -> bytes | None:
        """Return a tile as JPEG, or None where there is none."""
        if not 0 <= level < self.n_levels:
            return None
        columns, rows = self.shape(level)
        if not (0 <= column < columns and 0 <= row < rows):
            return None
        width, height = self.size_px(level)
        size = min(TILE_PX, width - column * TILE_PX), min(TILE_PX, height - row * TILE_PX)
        return _jpeg(self._pixels(level, (column * TILE_PX, row * TILE_PX), size))

    def _scale(self, level: int) -> int:
        return 1 << (self.n_levels - 1 - level)

    def _pixels(self, level: int, corner: tuple[int, int], size: tuple[int, int]) -> RGB:
        """Read the pixels of a level from `corner` on."""
        scale, (x, y) = self._scale(level), corner
        finer = [each.downsample for each in self.slide.levels if each.downsample <= scale * 1.001]
        if scale / max(finer, default=1.0) <= DIRECT:
            return self.slide.read((x * scale, y * scale), size, self.slide.mpp * scale)
        rgb, step = self._small()
        width, height = size
        box = (x * scale / step, y * scale / step, (x + width) * scale / step, (y + height) * scale / step)
        within = (*box[:2], min(box[2], rgb.shape[1]), min(box[3], rgb.shape[0]))
        return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC, box=within))

    def _small(self) -> tuple[RGB, float]:
        with self._lock:
            if self._overview is None:
                self._overview = self.slide.thumbnail(OVERVIEW_PX)
            return self._overview


def _jpeg(rgb: RGB) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
