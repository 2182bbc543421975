"""Finished rows of a map on their way to disk: gathered into rows of chunks, each written once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Rows = Float[NDArray[np.float32], "plane row col"]


class RowWriter:
    """Writes rows of several arrays of (plane, row, col), whose chunks are equally high, side by side.

    Cells that are not in `keep` are written as NaN.

    Attributes
    ----------
    written
        Rows from the top that are on disk, or were left out for good; a whole number of chunks.
    """

    def __init__(
        self,
        arrays: Sequence[zarr.Array[Any]],
        keep: Bool[NDArray[np.bool_], "row col"],
        written: int = 0,
    ) -> None:
        self._arrays, self._keep, self.written = arrays, keep, written
        self._height = arrays[0].chunks[1]
        width = arrays[0].shape[2]
        self._rows = [np.full((a.shape[0], self._height, width), np.nan, dtype=np.float32) for a in arrays]

    def put(self, first_row: int, rows: Sequence[Rows]) -> None:
        """Take rows of every array from `first_row` on, in order.

        Rows left out stay NaN; rows off the map, and such as are written already, are dropped.
        """
        n_rows = len(self._keep)
        first, last = max(first_row, self.written), min(first_row + rows[0].shape[1], n_rows)
        while first < last:
            if first >= self.written + self._height:
                self._flush(first)
            until = min(last, self.written + self._height)
            for gathered, new in zip(self._rows, rows, strict=True):
                gathered[:, first - self.written : until - self.written] = new[
                    :, first - first_row : until - first_row
                ]
            first = until

    def close(self) -> None:
        """Write what is left."""
        if self.written < len(self._keep):
            self._flush(len(self._keep) + self._height)

    def _flush(self, next_row: int) -> None:
        """Write what is gathered, and go on with the chunks that `next_row` is in."""
        stop = min(self.written + self._height, len(self._keep))
        outside = ~self._keep[self.written : stop]
        for array, gathered in zip(self._arrays, self._rows, strict=True):
            rows = gathered[:, : stop - self.written]
            rows[:, outside] = np.nan
            array[:, self.written : stop] = rows
            gathered.fill(np.nan)
        self.written = next_row // self._height * self._height
