"""Box averages of a level too large for memory: read block by block, summed, divided once."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from jaxtyping import Int, UInt8
from numpy.typing import NDArray
from PIL import Image

BLOCK_PX = 2048
"""Side of the blocks that are in memory at a time."""

Read = Callable[[tuple[int, int], tuple[int, int]], UInt8[NDArray[np.uint8], "height width 3"]]
"""Pixels of a level from their (x, y) and (width, height)."""
Edges = Int[NDArray[np.int64], " edge"]


def box_shrink(
    read: Read, level_px: tuple[int, int], size_px: tuple[int, int]
) -> UInt8[NDArray[np.uint8], "height width 3"]:
    """Shrink a level of (width, height) `level_px` to `size_px`, each pixel the mean of those it covers.

    A pixel of the level belongs to the one pixel of the result that its centre falls into. A side that is to
    grow (by the rounding of sizes) repeats pixels.
    """
    columns, rows = (_edges(level, min(level, size)) for level, size in zip(level_px, size_px, strict=True))
    total = np.zeros((len(rows) - 1, len(columns) - 1, 3), dtype=np.float64)
    for top, bottom in _blocks(level_px[1]):
        row, row_starts = _cells(rows, top, bottom)
        for left, right in _blocks(level_px[0]):
            column, column_starts = _cells(columns, left, right)
            block = read((left, top), (right - left, bottom - top))
            sums = np.add.reduceat(block, row_starts, axis=0, dtype=np.uint32)
            total[row, column] += np.add.reduceat(sums, column_starts, axis=1)
    mean = total / (np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None])
    return _grow(np.rint(mean).astype(np.uint8), size_px)


def _edges(length: int, cells: int) -> Edges:
    """First pixel of each cell, and the end of the last: k · length / cells to the nearest whole number."""
    edges: Edges = (2 * np.arange(cells + 1, dtype=np.int64) * length + cells) // (2 * cells)
    return edges


def _blocks(length: int) -> list[tuple[int, int]]:
    return list(pairwise([*range(0, length, BLOCK_PX), length]))


def _cells(edges: Edges, start: int, stop: int) -> tuple[slice, Edges]:
    """Return the cells that a stretch of pixels touches, and where in the stretch they begin."""
    first = int(np.searchsorted(edges, start, side="right")) - 1
    last = int(np.searchsorted(edges, stop, side="left"))
    return slice(first, last), np.maximum(edges[first:last] - start, 0)


def _grow(
    rgb: UInt8[NDArray[np.uint8], "height width 3"], size_px: tuple[int, int]
) -> UInt8[NDArray[np.uint8], "height width 3"]:
    if rgb.shape[1::-1] == size_px:
        return rgb
    return np.asarray(Image.fromarray(rgb).resize(size_px, Image.Resampling.NEAREST))
