"""Finished rows of a map on their way to disk: gathered into rows of chunks, each written once."""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Rows = Float[NDArray[np.float32], "plane row col"]
ALL = slice(None)


class Gathered(Protocol):
    """Rows of all planes of an array, as high as a chunk."""

    def put(self, first: int, rows: Rows) -> None:
        """Take rows, from the row `first` of the chunk on."""

    def get(self, planes: slice, n_rows: int, columns: slice) -> Rows:
        """Return some planes and columns of its first rows; rows that nobody put hold anything."""

    def close(self) -> None:
        """Let go of them."""


class InMemory:
    """Rows in memory."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._rows = np.empty(shape, dtype=np.float32)

    def put(self, first: int, rows: Rows) -> None:
        """Take rows, from the row `first` of the chunk on."""
        self._rows[:, first : first + rows.shape[1]] = rows

    def get(self, planes: slice, n_rows: int, columns: slice) -> Rows:
        """Return a view."""
        return self._rows[planes, :n_rows, columns]

    def close(self) -> None:
        """Let go of them."""
        self._rows = self._rows[:0]


class OnDisk:
    """Rows in a temporary file in a folder, read and written piece by piece: a mapped file would count."""

    def __init__(self, shape: tuple[int, int, int], folder: Path) -> None:
        self._planes, self._height, self._width = shape
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  closed later

    def put(self, first: int, rows: Rows) -> None:
        """Take rows, from the row `first` of the chunk on."""
        for plane, content in enumerate(rows):
            self._seek(plane, first, 0)
            self._file.write(np.ascontiguousarray(content).data)

    def get(self, planes: slice, n_rows: int, columns: slice) -> Rows:
        """Read some planes and columns of the first rows."""
        wanted = range(*planes.indices(self._planes))
        first, last, _ = columns.indices(self._width)
        rows = np.zeros((len(wanted), n_rows, last - first), dtype=np.float32)
        at_once = n_rows if last - first == self._width else 1  # rows that follow each other in the file
        for (index, plane), row in product(enumerate(wanted), range(0, n_rows, at_once)):
            self._seek(plane, row, first)
            self._file.readinto(rows[index, row : row + at_once].data)
        return rows

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _seek(self, plane: int, row: int, column: int) -> None:
        self._file.seek(4 * ((plane * self._height + row) * self._width + column))


class RowWriter:
    """Writes rows of several arrays of (plane, row, col), whose chunks are equally high, side by side.

    Cells that are not in `keep` are written as NaN; rows from `stop` on, if that is given, are another's.
    Rows wait in memory, or in a temporary file in the folder `spill`.

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
        stop: int | None = None,
        spill: Path | None = None,
    ) -> None:
        self._arrays, self._keep, self.written = arrays, keep, written
        self._stop = len(keep) if stop is None else stop
        self._height = arrays[0].chunks[1]
        width = arrays[0].shape[2]
        shapes = [(array.shape[0], self._height, width) for array in arrays]
        self._rows: list[Gathered] = [
            InMemory(shape) if spill is None else OnDisk(shape, spill) for shape in shapes
        ]
        self._whole = spill is None
        self._put = np.zeros(self._height, dtype=np.bool_)

    def put(self, first_row: int, rows: Sequence[Rows]) -> None:
        """Take rows of every array from `first_row` on, in order.

        Rows left out stay NaN; rows off the map, and such as are written already, are dropped.
        """
        first, last = max(first_row, self.written), min(first_row + rows[0].shape[1], self._stop)
        while first < last:
            if first >= self.written + self._height:
                self._flush(first)
            until = min(last, self.written + self._height)
            for gathered, new in zip(self._rows, rows, strict=True):
                gathered.put(first - self.written, new[:, first - first_row : until - first_row])
            self._put[first - self.written : until - self.written] = True
            first = until

    def finish(self) -> None:
        """Write what is left."""
        if self.written < self._stop:
            self._flush(self._stop + self._height)

    def close(self) -> None:
        """Let go of what is not written."""
        for gathered in self._rows:
            gathered.close()

    def _flush(self, next_row: int) -> None:
        """Write what is gathered, and go on with the chunks that `next_row` is in."""
        stop = min(self.written + self._height, self._stop)
        outside = ~(self._keep[self.written : stop] & self._put[: stop - self.written, None])
        for array, gathered in zip(self._arrays, self._rows, strict=True):
            for planes, columns in [(ALL, ALL)] if self._whole else pieces(array):
                rows = gathered.get(planes, stop - self.written, columns)
                rows[:, outside[:, columns]] = np.nan
                array[planes, self.written : stop, columns] = rows
        self._put[:] = False
        self.written = next_row // self._height * self._height


def pieces(array: zarr.Array[Any]) -> Iterator[tuple[slice, slice]]:
    """Yield the planes and columns of each file of a row of chunks."""
    n_planes, _, width = array.shape
    planes, _, columns = array.shards or array.chunks
    for plane, column in product(range(0, n_planes, planes), range(0, width, columns)):
        yield slice(plane, min(plane + planes, n_planes)), slice(column, min(column + columns, width))
