"""Shares of raster cells that polygons cover: exact areas by Green's theorem, for all polygons at once."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import shapely
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.sparse import csr_array

from miso.geometry import Points, Raster

Numbers = Float[NDArray[np.float64], " n"]
Indices = Int[NDArray[np.int64], " n"]
Geometries = NDArray[np.object_] | Sequence[shapely.Polygon | shapely.MultiPolygon]

BATCH_CELLS = 1 << 20
"""Cells of the boxes about polygons that are worked on together; one polygon may have more."""
NOTHING = 1e-9
"""Shares below this are rounding."""
DISC_SIDES = 64
"""Sides of the polygon that stands for a disc; it has the disc's area."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A grid of cells: top-left corner and size of a cell (x, y) in level-0 pixels, and (rows, columns)."""

    corner_xy: tuple[float, float]
    step_xy: tuple[float, float]
    shape: tuple[int, int]

    @classmethod
    def of(cls, raster: Raster, rows: slice, columns: slice) -> Self:
        """Take a rectangle of a raster's cells."""
        step, (x, y) = raster.step_px, raster.origin_xy
        return cls(
            corner_xy=(x + (columns.start - 0.5) * step, y + (rows.start - 0.5) * step),
            step_xy=(step, step),
            shape=(rows.stop - rows.start, columns.stop - columns.start),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edges:
    """Edges from `start` to `end` in cells (column, row), of polygon `owner`; `turn` ±1 is the inner side."""

    start: Float[NDArray[np.float64], "n 2"]
    end: Float[NDArray[np.float64], "n 2"]
    owner: Indices
    turn: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Boxes:
    """The cells about each polygon: first (column, row) and (columns, rows), cut to the grid."""

    low: Int[NDArray[np.int64], "n 2"]
    size: Int[NDArray[np.int64], "n 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Some rows of a grid: `shares` of their cells, for the polygons numbered `which` that touch them."""

    rows: slice
    which: Indices
    shares: csr_array


def disc_polygons(center_xy: Points, diameter_px: float) -> NDArray[np.object_]:
    """Make discs about centres (…, 2), in level-0 pixels."""
    n = DISC_SIDES
    radius = diameter_px / 2 / math.sqrt(n / 2 * math.sin(2 * math.pi / n) / math.pi)
    return np.asarray(shapely.buffer(shapely.points(center_xy), radius, quad_segs=n // 4))


def coverage_by_band(polygons: Geometries, cells: Cells, height: int) -> Iterator[Band]:
    """Yield the coverage of `height` rows of the grid after the other, so that memory stays bounded."""
    geometries = np.asarray(polygons, dtype=np.object_)
    bounds = (shapely.bounds(geometries)[:, 1::2] - cells.corner_xy[1]) / cells.step_xy[1]
    for top in range(0, cells.shape[0], height):
        rows = slice(top, min(top + height, cells.shape[0]))
        which = np.flatnonzero((bounds[:, 0] < rows.stop) & (bounds[:, 1] > rows.start))
        corner = cells.corner_xy[0], cells.corner_xy[1] + top * cells.step_xy[1]
        part = Cells(corner_xy=corner, step_xy=cells.step_xy, shape=(rows.stop - top, cells.shape[1]))
        yield Band(rows=rows, which=which, shares=coverage(geometries[which], part))


def coverage(polygons: Geometries, cells: Cells) -> csr_array:
    """Return the share of each cell that each polygon covers, polygon × (row · columns + column).

    The polygons have to be valid; what lies off the grid is cut off. Shares are exact to rounding. It holds
    16 bytes a covered cell, and ten times that of the polygons of a batch while it works.
    """
    geometries = np.asarray(polygons, dtype=np.object_)
    n_cells = cells.shape[0] * cells.shape[1]
    parts = [_covered(geometries[part], cells) for part in _batches(geometries, cells)]
    if not parts:
        return csr_array((0, n_cells), dtype=np.float64)
    counts, columns, shares = (np.concatenate(each) for each in zip(*parts, strict=True))
    start = np.concatenate([[0], np.cumsum(counts)])
    return csr_array((shares, columns, start), shape=(len(geometries), n_cells))


def _batches(geometries: NDArray[np.object_], cells: Cells) -> Iterator[slice]:
    """Yield runs of polygons whose boxes have no more than `BATCH_CELLS` together, or single polygons."""
    size = _boxes(geometries, cells).size
    start, held = 0, 0
    for index, area in enumerate((size[:, 0] * size[:, 1]).tolist()):
        if held + area > BATCH_CELLS and index > start:
            yield slice(start, index)
            start, held = index, 0
        held += area
    if start < len(size):
        yield slice(start, len(size))


def _covered(geometries: NDArray[np.object_], cells: Cells) -> tuple[Indices, Indices, Numbers]:
    """Cells covered a polygon, their numbers on the grid, and shares; polygon by polygon, row by row."""
    boxes = _boxes(geometries, cells)
    stride = boxes.size[:, 0] + 1  # a column to the right takes what ends a row, so that each row sums to 0
    first = np.concatenate([[0], np.cumsum(stride * boxes.size[:, 1])])
    inside = np.cumsum(_deposits(_split(_edges(geometries, cells), cells), boxes, first))
    found = np.flatnonzero(inside > NOTHING)
    owner = np.searchsorted(first, found, side="right") - 1
    row, column = np.divmod(found - first[owner], stride[owner])
    real = column < boxes.size[owner, 0]
    found, owner, row, column = found[real], owner[real], row[real], column[real]
    number = (boxes.low[owner, 1] + row) * cells.shape[1] + boxes.low[owner, 0] + column
    counts = np.bincount(owner, minlength=len(geometries))
    return counts, number, np.clip(inside[found], 0, 1)


def _boxes(geometries: NDArray[np.object_], cells: Cells) -> _Boxes:
    limit = np.asarray(cells.shape[::-1])
    bounds = shapely.bounds(geometries).reshape(-1, 2, 2)  # polygon, low or high, x or y
    edges = (np.nan_to_num(bounds) - cells.corner_xy) / cells.step_xy
    low = np.clip(np.floor(edges[:, 0]), 0, limit).astype(np.int64)
    high = np.clip(np.ceil(edges[:, 1]), 0, limit).astype(np.int64)
    return _Boxes(low=low, size=np.maximum(high - low, 0))


def _edges(geometries: NDArray[np.object_], cells: Cells) -> _Edges:
    parts, polygon = shapely.get_parts(geometries, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    hole = np.concatenate([[False], part[1:] == part[:-1]])[: len(rings)]
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    at = (xy - cells.corner_xy) / cells.step_xy
    joined = np.flatnonzero(ring[1:] == ring[:-1])
    start, end, ring = at[joined], at[joined + 1], ring[joined]
    base = at[np.searchsorted(ring, np.arange(len(rings)))] if len(rings) else at
    from_base, to_base = start - base[ring], end - base[ring]  # small numbers keep the sign of small rings
    area = np.bincount(
        ring, from_base[:, 0] * to_base[:, 1] - to_base[:, 0] * from_base[:, 1], minlength=len(rings)
    )
    turn = -np.sign(area) * np.where(hole, -1, 1)
    return _Edges(start=start, end=end, owner=polygon[part[ring]], turn=turn[ring])


def _split(edges: _Edges, cells: Cells) -> _Edges:
    """Cut edges where they cross lines of the grid, so that each lies in one cell (or off the grid)."""
    number, along = [np.arange(len(edges.start))], [np.zeros(len(edges.start))]
    for axis, limit in ((0, cells.shape[1]), (1, cells.shape[0])):
        begin, end = edges.start[:, axis], edges.end[:, axis]
        low = np.clip(np.ceil(np.minimum(begin, end)), 0, limit + 1).astype(np.int64)
        high = np.clip(np.floor(np.maximum(begin, end)), -1, limit).astype(np.int64)
        count = np.where(begin == end, 0, np.maximum(high - low + 1, 0))
        edge = np.repeat(np.arange(len(count)), count)
        line = low[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        number.append(edge)
        along.append((line - begin[edge]) / (end - begin)[edge])
    edge, t = np.concatenate(number), np.concatenate(along)
    order = np.lexsort((t, edge))
    edge, t = edge[order], t[order]
    last = np.concatenate([edge[1:] != edge[:-1], [True]])[: len(edge)]
    until = np.where(last, 1.0, np.concatenate([t[1:], [1.0]])[: len(t)])
    start, step = edges.start[edge], (edges.end - edges.start)[edge]
    return _Edges(
        start=start + t[:, None] * step,
        end=start + until[:, None] * step,
        owner=edges.owner[edge],
        turn=edges.turn[edge],
    )


def _deposits(edges: _Edges, boxes: _Boxes, first: Indices) -> Numbers:
    """Lay down what, summed along rows, is the share: an edge counts for all that lies to its right."""
    middle = (edges.start + edges.end) / 2 - boxes.low[edges.owner]
    size = boxes.size[edges.owner]
    row = np.floor(middle[:, 1]).astype(np.int64)
    there = (row >= 0) & (row < size[:, 1])
    middle, row, owner, width = middle[there], row[there], edges.owner[there], size[there, 0]
    rise = ((edges.end - edges.start)[:, 1] * edges.turn)[there]
    x = np.clip(middle[:, 0], 0, width)
    column = np.floor(x).astype(np.int64)
    after = x - column
    at = first[owner] + row * (width + 1) + column
    held = np.bincount(at, rise * (1 - after), minlength=first[-1] + 1)
    held += np.bincount(at + 1, rise * after, minlength=first[-1] + 1)[: first[-1] + 1]
    return np.asarray(held[: first[-1]])
