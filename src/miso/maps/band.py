"""The part of a map in the making: sums over overlapping tiles, one tile high, and finished rows to disk."""

from typing import Any

import numpy as np
import zarr
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Rows = Float[NDArray[np.float32], "gene row col"]
TilePatches = Float[NDArray[np.float32], "row col gene"]


def blending(side: int) -> Float[NDArray[np.float32], "row col"]:
    """Weights of a tile's patches where tiles overlap: sin² from border to border, along both axes.

    An encoder knows least at a tile's border, and a plain mean steps there. These weights fade out, and with
    tiles half a side apart they sum to 1 everywhere.
    """
    along = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    return np.outer(along, along).astype(np.float32)


class Band:
    """Averages tiles that arrive row by row, from top to bottom, the middle of a tile counting most.

    It spans as many rows of the map as a tile is high, so its size does not depend on how tall the slide is.
    Cells that no tile has touched are NaN.
    """

    def __init__(self, n_genes: int, height: int, width: int, top: int) -> None:
        self.top, self._weights = top, blending(height)
        self._sum = np.zeros((n_genes, height, width), dtype=np.float32)
        self._total = np.zeros((height, width), dtype=np.float32)

    def add(self, row: int, col: int, patches: TilePatches) -> None:
        """Add a tile whose first cell is (row, col); what lies left or right of the map is dropped."""
        side, width = self._total.shape
        if row != self.top or len(patches) != side:
            raise ValueError(
                f"a tile on rows {row} to {row + len(patches)} is outside the band, "
                f"which spans {self.top} to {self.top + side}"
            )
        first, last = max(col, 0), min(col + side, width)
        inside = slice(first - col, last - col)
        weights = self._weights[:, inside]
        self._sum[..., first:last] += np.moveaxis(patches[:, inside], -1, 0) * weights
        self._total[:, first:last] += weights

    def advance(self, top: int) -> Rows:
        """Move down to `top` and return the means of the rows left behind (at most the band's height)."""
        done = min(top - self.top, len(self._total))
        total = np.where(self._total[:done] > 0, self._total[:done], np.float32(np.nan))
        means: Rows = (self._sum[:, :done] / total).astype(np.float32, copy=False)
        for array in (self._sum, self._total):
            kept = array.shape[-2] - done
            array[..., :kept, :] = array[..., done:, :]
            array[..., kept:, :] = 0
        self.top = top
        return means


class RowWriter:
    """Gathers finished rows until they fill a row of chunks, so that each chunk is written once.

    Cells that are not in `keep` are written as NaN.
    """

    def __init__(self, values: zarr.Array[Any], keep: Bool[NDArray[np.bool_], "row col"]) -> None:
        self._values, self._keep = values, keep
        n_genes, _, width = values.shape
        self._start = 0
        self._rows = np.full((n_genes, values.chunks[1], width), np.nan, dtype=np.float32)

    def put(self, first_row: int, rows: Rows) -> None:
        """Take rows from `first_row` on, in order; rows left out stay NaN, rows off the map are dropped."""
        first, last = max(first_row, 0), min(first_row + rows.shape[1], self._values.shape[1])
        while first < last:
            if first >= self._start + self._rows.shape[1]:
                self._flush(first)
            until = min(last, self._start + self._rows.shape[1])
            self._rows[:, first - self._start : until - self._start] = rows[
                :, first - first_row : until - first_row
            ]
            first = until

    def close(self) -> None:
        """Write what is left."""
        self._flush(0)

    def _flush(self, next_row: int) -> None:
        height = self._rows.shape[1]
        stop = min(self._start + height, self._values.shape[1])
        rows = self._rows[:, : stop - self._start]
        rows[:, ~self._keep[self._start : stop]] = np.nan
        self._values[:, self._start : stop] = rows
        self._rows.fill(np.nan)
        self._start = next_row // height * height
