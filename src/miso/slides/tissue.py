"""Where the tissue is: a mask of a slide drawn from its thumbnail, in pixels of about 8 µm."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage

from miso.geometry import Points, Raster, TileGrid
from miso.slides.slide import RGB, Slide

MASK_MPP = 8.0
"""µm per mask pixel: about one patch of 16 px at 0.5 µm/px."""
DEEPEST_GLASS = 0.12
"""Optical density per channel (log10) beyond which the palest part of a slide is no glass but tissue."""
SURELY_GLASS, SURELY_TISSUE = 0.06, 0.15
"""Bounds of the threshold on `staining`: noise and uneven tint lie below, the palest stroma above."""
LEAST_COLOUR = 0.1
"""What absorbs all colours alike to within this share is dirt, shadow or ink."""
SMALLEST_TISSUE_UM, LARGEST_HOLE_UM = 60.0, 100.0
"""Sides of squares: smaller pieces are dirt, smaller holes (fat cells, capillaries) belong to the tissue."""
MIN_TILE_SHARE = 0.05
"""A tile is worth encoding where at least this share of it is tissue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueMask:
    """Tissue of a slide: `mask` (row, column) stretches exactly over `slide_size_px` (width, height)."""

    mask: Bool[NDArray[np.bool_], "row col"]
    slide_size_px: tuple[int, int]

    @property
    def step_xy(self) -> tuple[float, float]:
        """Level-0 pixels per mask pixel along x and y; they differ by rounding only."""
        rows, columns = self.mask.shape
        return self.slide_size_px[0] / columns, self.slide_size_px[1] / rows

    def share(self, origin_xy: Points, side_px: float) -> Float[NDArray[np.float64], "*n"]:
        """Share of tissue in squares with these top-left corners, both in level-0 pixels.

        Only the part of a square that lies on the slide counts; a square wholly off the slide has share 0.
        """
        step, limit = np.asarray(self.step_xy), np.asarray(self.mask.shape[::-1])
        x0, y0 = np.moveaxis(np.clip(np.asarray(origin_xy) / step, 0, limit), -1, 0)
        x1, y1 = np.moveaxis(np.clip((np.asarray(origin_xy) + side_px) / step, 0, limit), -1, 0)
        sums = self._sums()
        tissue = _at(sums, x1, y1) - _at(sums, x0, y1) - _at(sums, x1, y0) + _at(sums, x0, y0)
        area = (x1 - x0) * (y1 - y0)
        share: Float[NDArray[np.float64], "*n"] = np.divide(
            tissue, area, out=np.zeros_like(tissue), where=area > 0
        )
        return share

    def cells(self, raster: Raster) -> Bool[NDArray[np.bool_], "row col"]:
        """Cells of a raster of which at least half of what lies on the slide is tissue."""
        edges = (np.arange(n + 1) - 0.5 for n in raster.shape[::-1])
        x, y = (
            np.clip((edge * raster.step_px + origin) / step, 0, limit)
            for edge, origin, step, limit in zip(
                edges, raster.origin_xy, self.step_xy, self.mask.shape[::-1], strict=True
            )
        )
        tissue = np.diff(np.diff(_at(self._sums(), *np.meshgrid(x, y)), axis=0), axis=1)
        area = np.outer(np.diff(y), np.diff(x))
        return (tissue >= 0.5 * area) & (area > 0)

    def _sums(self) -> Float[NDArray[np.float64], "row1 col1"]:
        return np.pad(np.cumsum(np.cumsum(self.mask, axis=0, dtype=np.float64), axis=1), ((1, 0), (1, 0)))


def _at(sums: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tissue above and left of (x, y) in mask pixels; exact, for the integral is bilinear within a pixel."""
    return np.asarray(ndimage.map_coordinates(sums, [y, x], order=1))


def tissue_mask(slide: Slide, mpp: float = MASK_MPP) -> TissueMask:
    """Find a slide's tissue on a thumbnail of `mpp` µm per pixel.

    Otsu's threshold (IEEE Trans. SMC 9, 1979) of `staining` parts dense tissue from the rest; applied again
    to that rest it parts pale stroma from glass. It is held between what is surely glass and what is surely
    tissue: a slide full of tissue is all tissue, and a blank one has none. Specks are dropped and small holes
    filled.
    """
    thumbnail, _ = slide.thumbnail(max(round(max(slide.size_px) * slide.mpp / mpp), 1))
    mpp = max(slide.size_px) * slide.mpp / max(thumbnail.shape[:2])  # coarser than asked on a tiny slide
    stain = staining(thumbnail)
    between_dense_and_pale = otsu(stain)
    between_pale_and_glass = otsu(stain[stain < between_dense_and_pale])
    mask = stain > np.clip(between_pale_and_glass, SURELY_GLASS, SURELY_TISSUE)
    return TissueMask(mask=_tidy(mask, mpp), slide_size_px=slide.size_px)


def whole_slide(slide: Slide) -> TissueMask:
    """Take everything for tissue."""
    return TissueMask(mask=np.ones((1, 1), dtype=np.bool_), slide_size_px=slide.size_px)


def staining(image: RGB) -> Float[NDArray[np.float32], "height width"]:
    """Length of the optical density (log10, three channels) beyond the glass's own, lightly smoothed.

    The glass is the palest twentieth of the picture, so that tinted glass counts as blank; where even that is
    too deep to be glass, there is none, and white is blank. Greys are 0.
    """
    density = -np.log10(np.maximum(image, 1).astype(np.float32) / 255)
    density = ndimage.gaussian_filter(density, sigma=(1, 1, 0))
    total = density.sum(axis=-1)
    glass = np.median(density[total <= np.percentile(total, 5)], axis=0)
    beyond = density - (glass if glass.max() <= DEEPEST_GLASS else 0)
    length = np.linalg.norm(beyond, axis=-1)
    colour = np.linalg.norm(beyond - beyond.mean(axis=-1, keepdims=True), axis=-1)
    return np.where(colour >= LEAST_COLOUR * length, length, 0).astype(np.float32)


def otsu(values: Float[NDArray[np.float32], "*n"], bins: int = 256) -> float:
    """Return the threshold that best parts values in two classes; equal values lie above it; 0 of none."""
    if not values.size:
        return 0.0
    counts, edges = np.histogram(values, bins=bins)
    centre = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centre) / np.maximum(below, 1)
    mean_above = np.cumsum((counts * centre)[::-1])[::-1] / np.maximum(above, 1)
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(edges[1 + np.argmax(between)])


def tissue_tiles(grid: TileGrid, tissue: TissueMask, min_share: float = MIN_TILE_SHARE) -> NDArray[np.int64]:
    """(row, column) of the tiles with at least `min_share` of tissue on the slide, row-major, (n, 2)."""
    rows, columns = grid.shape
    row, col = np.indices((rows, columns)).reshape(2, -1)
    step = grid.raster.step_px
    margin = grid.patches.side - grid.stride_cells
    origin_xy = (np.stack([col, row], axis=-1) * grid.stride_cells - margin) * np.float64(step)
    keep = tissue.share(origin_xy, grid.patches.side * step) >= min_share
    return np.stack([row, col], axis=-1)[keep].astype(np.int64)


def _tidy(mask: Bool[NDArray[np.bool_], "row col"], mpp: float) -> Bool[NDArray[np.bool_], "row col"]:
    holes = ndimage.binary_fill_holes(mask) & ~mask
    mask = mask | _pieces(holes, smaller_than_px=(LARGEST_HOLE_UM / mpp) ** 2)
    return mask & ~_pieces(mask, smaller_than_px=(SMALLEST_TISSUE_UM / mpp) ** 2)


def _pieces(
    mask: Bool[NDArray[np.bool_], "row col"], smaller_than_px: float
) -> Bool[NDArray[np.bool_], "row col"]:
    labels, _ = ndimage.label(mask)
    small = np.bincount(labels.ravel()) < smaller_than_px
    small[0] = False
    return np.asarray(small[labels], dtype=np.bool_)
