"""The part of a map in the making: weighted sums over windows, one window high, from top to bottom."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.maps.border import Axis

Rows = Float[NDArray[np.float32], "plane row col"]
Weights = Float[NDArray[np.float32], "row col"]
WindowValues = Float[NDArray[np.float32], "row col plane"]


class Band:
    """Averages windows that arrive from top to bottom, each cell of a window by its weight.

    It spans as many rows of the map as a window is high, so its size does not depend on how tall the slide
    is. Cells that no window has touched are NaN. `axes` weigh patches at the slide's border, along rows and
    along columns.
    """

    def __init__(
        self, n_planes: int, weights: Weights, axes: tuple[Axis, Axis], width: int, top: int
    ) -> None:
        self.top, self._weights, self._axes = top, weights, axes
        self._sum = np.zeros((n_planes, len(weights), width), dtype=np.float32)
        self._total = np.zeros((len(weights), width), dtype=np.float32)
        self._left = 0

    def add(self, row: int, col: int, values: WindowValues) -> None:
        """Add a window whose first cell is (row, col); what lies left or right of the map is dropped.

        Its values may be those of patches, each several cells wide.
        """
        self._move()
        side, width = self._total.shape
        per_patch = side // len(values)
        if row != self.top or len(values) * per_patch != side:
            raise ValueError(
                f"a window of {len(values)} patches on row {row} does not fit the band, which spans "
                f"{self.top} to {self.top + side}"
            )
        first, last = max(col, 0), min(col + side, width)
        inside = slice(first - col, last - col)
        cells = np.moveaxis(values, -1, 0).repeat(per_patch, axis=1).repeat(per_patch, axis=2)
        along = (axis.of_window(first) for axis, first in zip(self._axes, (row, col), strict=True))
        weights = (self._weights * np.outer(*along))[:, inside]
        self._sum[..., first:last] += cells[..., inside] * weights
        self._total[:, first:last] += weights

    def advance(self, top: int) -> Rows:
        """Move down to `top` and return the means of the rows left behind (at most the band's height).

        They are a view, to be used before the band is used again.
        """
        self._move()
        self._left = min(top - self.top, len(self._total))
        self.top = top
        total = np.where(self._total[: self._left] > 0, self._total[: self._left], np.float32(np.nan))
        means: Rows = self._sum[:, : self._left]
        means /= total
        return means

    def _move(self) -> None:
        """Drop the rows left behind; plane by plane, since what overlaps is copied."""
        if not (left := self._left):
            return
        kept = len(self._total) - left
        for plane in (*self._sum, self._total):
            plane[:kept] = plane[left:]
            plane[kept:] = 0
        self._left = 0
