"""Yes or no for every place of a slide, and its exact share of any square; squares are in level-0 pixels."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage

from miso.geometry import Points, Raster

Field = Float[NDArray[np.floating], "row col"] | Bool[NDArray[np.bool_], "row col"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideMask:
    """A picture of a slide: `mask` (row, column) stretches exactly over `slide_size_px` (width, height)."""

    mask: Bool[NDArray[np.bool_], "row col"]
    slide_size_px: tuple[int, int]

    @property
    def step_xy(self) -> tuple[float, float]:
        """Level-0 pixels per mask pixel along x and y; they differ by rounding only."""
        rows, columns = self.mask.shape
        return self.slide_size_px[0] / columns, self.slide_size_px[1] / rows

    @property
    def fingerprint(self) -> str:
        """Name of what the mask holds."""
        return hashlib.sha256(np.packbits(self.mask).tobytes() + str(self.mask.shape).encode()).hexdigest()[
            :16
        ]

    def share(self, origin_xy: Points, side_px: float) -> Float[NDArray[np.float64], "*n"]:
        """Share of the mask in squares with these top-left corners, both in level-0 pixels.

        Only the part of a square that lies on the slide counts; a square wholly off the slide has share 0.
        """
        return np.clip(box_mean(self.mask, self.slide_size_px, origin_xy, side_px), 0, 1)

    def cells(self, raster: Raster) -> Bool[NDArray[np.bool_], "row col"]:
        """Cells of a raster of which at least half of what lies on the slide is in the mask."""
        edges = (np.arange(n + 1) - 0.5 for n in raster.shape[::-1])
        x, y = (
            np.clip((edge * raster.step_px + origin) / step, 0, limit)
            for edge, origin, step, limit in zip(
                edges, raster.origin_xy, self.step_xy, self.mask.shape[::-1], strict=True
            )
        )
        inside = np.diff(np.diff(_at(_sums(self.mask), *np.meshgrid(x, y)), axis=0), axis=1)
        area = np.outer(np.diff(y), np.diff(x))
        return (inside >= 0.5 * area) & (area > 0)


def box_mean(
    field: Field, slide_size_px: tuple[int, int], origin_xy: Points, side_px: float
) -> Float[NDArray[np.float64], "*n"]:
    """Mean of a picture of a slide over squares, given by top-left corner and side in level-0 pixels.

    Only the part of a square that lies on the slide counts; a square wholly off the slide has mean 0.
    """
    x0, y0, x1, y1 = _edges(field, slide_size_px, origin_xy, side_px)
    sums = _sums(field)
    total = _at(sums, x1, y1) - _at(sums, x0, y1) - _at(sums, x1, y0) + _at(sums, x0, y0)
    area = (x1 - x0) * (y1 - y0)
    mean: Float[NDArray[np.float64], "*n"] = np.divide(total, area, out=np.zeros_like(total), where=area > 0)
    return mean


def _edges(
    field: Field, slide_size_px: tuple[int, int], origin_xy: Points, side_px: float
) -> tuple[NDArray[np.float64], ...]:
    limit = np.asarray(field.shape[::-1], dtype=np.float64)
    scale = limit / slide_size_px
    low = np.clip(np.asarray(origin_xy) * scale, 0, limit)
    high = np.clip((np.asarray(origin_xy) + side_px) * scale, 0, limit)
    return low[..., 0], low[..., 1], high[..., 0], high[..., 1]


def _sums(field: Field) -> Float[NDArray[np.float64], "row1 col1"]:
    return np.pad(np.cumsum(np.cumsum(field, axis=0, dtype=np.float64), axis=1), ((1, 0), (1, 0)))


def _at(sums: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum above and left of (x, y) in mask pixels; exact, for the integral is bilinear within a pixel."""
    return np.asarray(ndimage.map_coordinates(sums, [y, x], order=1))


def small_pieces(
    mask: Bool[NDArray[np.bool_], "row col"], smaller_than_px: float
) -> Bool[NDArray[np.bool_], "row col"]:
    """Find the connected pieces of fewer pixels than that."""
    labels, _ = ndimage.label(mask)
    small = np.bincount(labels.ravel()) < smaller_than_px
    small[0] = False
    return np.asarray(small[labels], dtype=np.bool_)


def without_thin(
    mask: Bool[NDArray[np.bool_], "row col"], narrower_than_px: float
) -> Bool[NDArray[np.bool_], "row col"]:
    """Drop what is narrower than that; beyond the picture's border everything goes on as it is."""
    steps = max(round(narrower_than_px / 2), 1)
    core = ndimage.binary_erosion(mask, iterations=steps, border_value=1)
    return np.asarray(ndimage.binary_dilation(core, iterations=steps) & mask, dtype=np.bool_)
