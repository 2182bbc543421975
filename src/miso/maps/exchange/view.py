"""What of a map goes out: some genes, a rectangle of cells, and of these those inside the drawn regions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from miso.geometry import Points, Raster
from miso.launch.progress import Track
from miso.maps.aggregate import Window, window_about
from miso.maps.coverage import coverage_by_band
from miso.maps.expression_map import ExpressionMap
from miso.maps.regions import Region, check_on_slide
from miso.maps.sampling import Plane

BLOCK_VALUES = 1 << 25
"""Values held at a time when all genes of a cell go out together: 128 MiB, and the copies of writing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Cells that were seen, row by row: their places on the map, their centres, and a value a gene."""

    row: Int[NDArray[np.int64], " cell"]
    column: Int[NDArray[np.int64], " cell"]
    center_xy: Points
    values: Float[NDArray[np.float32], "cell gene"]

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A map as it goes out; cells that are not in `keep` (row, column of the window) are as if unseen."""

    map: ExpressionMap
    window: Window
    keep: Bool[NDArray[np.bool_], "row col"] | None = None

    @property
    def raster(self) -> Raster:
        """Where the cells of the window lie on the slide."""
        whole, window = self.map.raster, self.window
        x, y = whole.origin_xy
        origin = x + window.columns.start * whole.step_px, y + window.rows.start * whole.step_px
        return Raster(origin_xy=origin, step_px=whole.step_px, shape=window.shape)

    @property
    def corner_xy(self) -> tuple[float, float]:
        """Top-left corner of the window's first cell, in level-0 pixels."""
        (x, y), half = self.raster.origin_xy, self.raster.step_px / 2
        return x - half, y - half

    def plane(self, gene: str) -> Plane:
        """Read a gene; (row, col) of the window."""
        values = self.map.part(gene, self.window.rows, self.window.columns)
        return values if self.keep is None else np.where(self.keep, values, np.float32(np.nan))

    def blocks(self, track: Track, doing: str) -> Iterator[Block]:
        """Yield the cells in which any gene was seen, some rows of chunks after the other."""
        height = self._height()
        first, stop = self.window.rows.start, self.window.rows.stop
        edges = [first, *range(first // height * height + height, stop, height), stop]
        for top, bottom in track(pairwise(edges), len(edges) - 1, doing):
            values = self.map.planes(slice(None), slice(top, bottom), self.window.columns)
            seen = np.isfinite(values).any(axis=0)
            if self.keep is not None:
                seen &= self.keep[top - first : bottom - first]
            row, column = np.nonzero(seen)
            row, column = row + top, column + self.window.columns.start
            if len(row):
                xy = self.map.raster.centers_xy(row, column)
                yield Block(row=row, column=column, center_xy=xy, values=values[:, seen].T)

    def _height(self) -> int:
        """Rows of a block: those of the chunks, or fewer where these hold too much."""
        chunk = int(self.map.values.chunks[1])
        affordable = BLOCK_VALUES // (len(self.map) * self.window.shape[1])
        return min(chunk, 1 << max(affordable, 1).bit_length() - 1)


def view(
    map_: ExpressionMap, genes: Sequence[str] | None = None, regions: Sequence[Region] | None = None
) -> View:
    """Choose genes (all by default) and the cells of which at least half lies inside the regions.

    Raises
    ------
    MapError
        If the map lacks a gene.
    RegionError
        If the regions lie off the slide.
    """
    chosen = map_ if genes is None else map_.select(genes)
    if regions is None:
        rows, columns = map_.raster.shape
        return View(map=chosen, window=Window(rows=slice(0, rows), columns=slice(0, columns)))
    check_on_slide(regions, map_.header.slide.size_px)
    areas = np.array([region.polygon for region in regions], dtype=np.object_)
    window = window_about(map_, areas)
    keep = np.zeros(window.shape, dtype=np.bool_)
    for band in coverage_by_band(areas, window.cells(map_), 256):
        keep[band.rows] = (band.shares.sum(axis=0) >= 0.5 - 1e-9).reshape(-1, window.shape[1])
    return View(map=chosen, window=window, keep=keep)
