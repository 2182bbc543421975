"""The planes of a map as tiles of numbers, float32: level 0 has one a cell, each next level half as many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.maps import ExpressionMap
from miso.view.bounded import BoundedCache

TILE = 256
SAMPLED = 1 << 20
"""Cells that percentiles are taken of, at most, spread evenly."""
STRIP_CELLS = 1 << 22
CACHED_BYTES = 128 << 20
"""Of coarser levels, over all planes."""

Plane = Float[NDArray[np.float32], "row col"]
SPREAD, NOVELTY = "s", "n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pyramid:
    """The coarser levels of a plane (from level 1 on), and the percentiles 0 to 100 of its seen cells."""

    levels: tuple[Plane, ...]
    percentiles: tuple[float, ...]

    @property
    def bytes(self) -> int:
        """What it takes."""
        return sum(level.nbytes for level in self.levels) + 1024


class MapTiles:
    """The tiles of one map; planes are called `0` … by gene, `s0` … for its spread, and `n` for novelty."""

    def __init__(self, map_: ExpressionMap) -> None:
        self.map = map_
        self.shapes = _shapes(map_.raster.shape)
        self._pyramids = BoundedCache[Pyramid](CACHED_BYTES, lambda pyramid: pyramid.bytes)

    @property
    def planes(self) -> list[str]:
        """Names of all planes."""
        genes = range(len(self.map))
        spread = [f"{SPREAD}{gene}" for gene in genes] if self.map.std_values is not None else []
        return [*map(str, genes), *spread, *([NOVELTY] if self.map.novelty_values is not None else [])]

    def tile(self, plane: str, level: int, column: int, row: int) -> bytes | None:
        """Return a tile as little-endian float32, row by row, or None where there is none."""
        if not self._has(plane) or not 0 <= level < len(self.shapes):
            return None
        n_rows, n_columns = self.shapes[level]
        if not (0 <= row * TILE < n_rows and 0 <= column * TILE < n_columns):
            return None
        rows = slice(row * TILE, min((row + 1) * TILE, n_rows))
        columns = slice(column * TILE, min((column + 1) * TILE, n_columns))
        if level == 0:
            return _bytes(self._read(plane, rows, columns))
        return _bytes(self._pyramid(plane).levels[level - 1][rows, columns])

    def percentiles(self, plane: str) -> tuple[float, ...] | None:
        """Return percentiles 0 to 100 of what was seen; none if nothing was, None without such a plane."""
        return self._pyramid(plane).percentiles if self._has(plane) else None

    def _has(self, plane: str) -> bool:
        """Whether there is such a plane; its name comes from outside."""
        if plane == NOVELTY:
            return self.map.novelty_values is not None
        if plane.startswith(SPREAD) and self.map.std_values is None:
            return False
        number = plane.removeprefix(SPREAD)
        if not (number.isascii() and number.isdecimal()) or len(number) > 6:
            return False
        return int(number) < len(self.map) and str(int(number)) == number

    def _read(self, plane: str, rows: slice, columns: slice) -> Plane:
        """Read a part of a plane that there is."""
        if plane == NOVELTY:
            found = self.map.novelty_part(rows, columns)
        else:
            gene = self.map.genes[int(plane.removeprefix(SPREAD))]
            read = self.map.std if plane.startswith(SPREAD) else self.map.part
            found = read(gene, rows, columns)
        assert found is not None
        return found

    def _pyramid(self, plane: str) -> Pyramid:
        return self._pyramids.get(plane, lambda: self._built(plane))

    def _built(self, plane: str) -> Pyramid:
        """Pass over a plane once, some rows at a time."""
        n_rows, n_columns = self.shapes[0]
        height = max(STRIP_CELLS // n_columns // 2 * 2, 2)
        every = math.ceil(n_rows * n_columns / SAMPLED)
        halves, sampled = [], []
        for top in range(0, n_rows, height):
            strip = self._read(plane, slice(top, min(top + height, n_rows)), slice(0, n_columns))
            halves.append(halved(strip))
            sampled.append(strip.ravel()[top * n_columns % every :: every])
        levels = [np.concatenate(halves)] if len(self.shapes) > 1 else []
        while len(levels) < len(self.shapes) - 1:
            levels.append(halved(levels[-1]))
        return Pyramid(levels=tuple(levels), percentiles=_percentiles(sampled))


def halved(plane: Plane) -> Plane:
    """Return means of 2 × 2 cells, of those seen among them; sizes are rounded up."""
    rows, columns = (math.ceil(side / 2) for side in plane.shape)
    total, count = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.uint8)
    for corner in (plane[::2, ::2], plane[1::2, ::2], plane[::2, 1::2], plane[1::2, 1::2]):
        height, width = corner.shape  # one less where the plane has an odd side
        seen = np.isfinite(corner)
        total[:height, :width] += np.where(seen, corner, np.float32(0))
        count[:height, :width] += seen
    means = np.full((rows, columns), np.nan, dtype=np.float32)
    np.divide(total, count, out=means, where=count > 0)
    return means


def _shapes(shape: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """(rows, columns) of each level, until one fits into a tile."""
    shapes = [shape]
    while max(shapes[-1]) > TILE:
        rows, columns = shapes[-1]
        shapes.append((math.ceil(rows / 2), math.ceil(columns / 2)))
    return tuple(shapes)


def _percentiles(sampled: Sequence[NDArray[np.float32]]) -> tuple[float, ...]:
    values = np.concatenate(sampled)
    values = values[np.isfinite(values)]
    return tuple(np.percentile(values, np.arange(101)).tolist()) if len(values) else ()


def _bytes(plane: Plane) -> bytes:
    return np.ascontiguousarray(plane, dtype="<f4").tobytes()
