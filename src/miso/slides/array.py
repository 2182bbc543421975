"""Slides whose pixels lie in stored arrays, of a Zarr store or an HDF5 file; chunks are read as needed."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from miso.errors import SlideError
from miso.slides.slide import RGB, WHITE, Level, Slide
from miso.units import Resolution

CACHE_BYTES = 256 * 2**20
"""Decoded chunks that are kept: tiles of one chunk come in no order, and chunks can be large."""
BLOCK_PX = 1024
"""Side of what is read at a time of an array without chunks, and at least of one with small ones."""
MAX_BLOCK = 2**29
"""Pixels of a chunk, all of which are decoded at a time."""
ZARR_FILES = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
"""One of them lies in every folder of a Zarr store that means something."""
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
    MemoryError,
)
"""What the libraries raise on damaged stores; wrapped about nothing but their calls."""


def is_stored_image(path: Path) -> bool:
    """Whether a path is a Zarr folder, or an .h5ad file."""
    if path.is_dir():
        return any((path / name).is_file() for name in ZARR_FILES)
    return path.suffix.lower() == ".h5ad" and path.is_file()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLevel:
    """One level: an array with shape, dtype, chunks and slices, and which of its axes are y, x and colour."""

    array: Any
    y: int
    x: int
    c: int

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height)."""
        return int(self.array.shape[self.x]), int(self.array.shape[self.y])

    @property
    def block_px(self) -> tuple[int, int]:
        """(width, height) of what is read at a time: whole chunks."""
        chunks = self.array.chunks or (BLOCK_PX,) * len(self.array.shape)
        return _blocks(int(chunks[self.x])), _blocks(int(chunks[self.y]))

    def read(self, x: slice, y: slice) -> UInt8[NDArray[np.uint8], "height width channel"]:
        """Read pixels; axes other than the three have length 1."""
        index: list[slice | int] = [0] * len(self.array.shape)
        index[self.x], index[self.y], index[self.c] = x, y, slice(None)
        pixels = np.asarray(self.array[tuple(index)])
        order = sorted((self.y, self.x, self.c))
        return pixels.transpose([order.index(axis) for axis in (self.y, self.x, self.c)])


def _blocks(chunk: int) -> int:
    return chunk * max(BLOCK_PX // max(chunk, 1), 1)


class ArraySlide(Slide):
    """An image in arrays; chunks are decoded when they are first asked for, and the latest are kept.

    `absent_chunks` are those of level 0 that are not stored: black by the format's word, or lost.
    """

    def __init__(
        self,
        path: Path,
        levels: Sequence[StoredLevel],
        resolution: Resolution | None,
        close: Callable[[], None] = lambda: None,
        absent_chunks: int = 0,
    ) -> None:
        width, height = levels[0].size_px
        super().__init__(
            path,
            tuple(
                Level(size_px=(w, h), downsample=(width / w + height / h) / 2)
                for w, h in (level.size_px for level in levels)
            ),
            resolution,
        )
        self.absent_chunks = absent_chunks
        self._arrays, self._close = levels, close
        self._kept: OrderedDict[tuple[int, int, int], RGB] = OrderedDict()
        self._kept_bytes, self._lock = 0, threading.Lock()

    def _read_region(self, index: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        (x, y), (width, height) = origin, size
        block_width, block_height = self._arrays[index].block_px
        region = np.empty((height, width, 3), dtype=np.uint8)
        columns = range(x // block_width, (x + width - 1) // block_width + 1)
        rows = range(y // block_height, (y + height - 1) // block_height + 1)
        for row, column in product(rows, columns):
            left, top = column * block_width, row * block_height
            block = self._block(index, row, column)
            x0, y0 = max(x, left), max(y, top)
            x1, y1 = min(x + width, left + block.shape[1]), min(y + height, top + block.shape[0])
            region[y0 - y : y1 - y, x0 - x : x1 - x] = block[y0 - top : y1 - top, x0 - left : x1 - left]
        return region

    def _block(self, index: int, row: int, column: int) -> RGB:
        key = index, row, column
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        block = self._decode(index, row, column)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = block
                self._kept_bytes += block.nbytes
            while self._kept_bytes > CACHE_BYTES and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= oldest.nbytes
        return block

    def _decode(self, index: int, row: int, column: int) -> RGB:
        level = self._arrays[index]
        (width, height), (full_width, full_height) = level.block_px, level.size_px
        x = slice(column * width, min((column + 1) * width, full_width))
        y = slice(row * height, min((row + 1) * height, full_height))
        try:
            return _on_white(level.read(x, y))
        except DAMAGE as err:
            raise SlideError(
                f"{self.path.name!r} is damaged at {x.start, y.start}, level {index}: {_one_line(err)}"
            ) from err

    def close(self) -> None:
        """Release the pixels and the file."""
        self._kept.clear()
        self._kept_bytes = 0
        self._close()


def _on_white(pixels: NDArray[np.uint8]) -> RGB:
    """Lay pixels with an alpha channel on white."""
    if pixels.shape[-1] == 3:
        return np.ascontiguousarray(pixels)
    alpha = pixels[..., 3:].astype(np.float32) / 255
    return np.rint(pixels[..., :3] * alpha + WHITE * (1 - alpha)).astype(np.uint8)


def check_arrays(path: Path, levels: Sequence[StoredLevel]) -> list[StoredLevel]:
    """Return the levels, the largest first, without those of another shape than the first.

    Raises
    ------
    SlideError
        If the first level is no 8-bit colour image.
    """
    first, *others = sorted(levels, key=lambda level: level.size_px, reverse=True)
    width, height = first.size_px
    channels = first.array.shape[first.c]
    if first.array.dtype != np.uint8 or channels not in (3, 4) or not width or not height:
        raise SlideError(
            f"{path.name!r} holds {channels} channels of {first.array.dtype}, {width} × {height} px; "
            "MISO reads 8-bit colour images"
        )
    fitting = [level for level in others if _is_shrunk(first, level)]
    for level in (first, *fitting):
        if level.block_px[0] * level.block_px[1] > MAX_BLOCK:
            raise SlideError(
                f"{path.name!r} is stored in chunks of {level.block_px[0]} × {level.block_px[1]} px, "
                "which do not fit into memory; write it again in chunks of 1,024 px"
            )
    return [first, *fitting]


def _is_shrunk(first: StoredLevel, level: StoredLevel) -> bool:
    (width, height), (small_width, small_height) = first.size_px, level.size_px
    if min(small_width, small_height) < 1 or level.array.dtype != np.uint8:
        return False
    if level.array.shape[level.c] != first.array.shape[first.c]:
        return False
    along_x, along_y = width / small_width, height / small_height
    return abs(along_x / along_y - 1) <= 0.01 + 2 / min(small_width, small_height)


def _one_line(err: BaseException) -> str:
    return (" ".join(str(err).split()) or type(err).__name__)[:160]
