"""Where the tissue is: a mask of a slide drawn from its thumbnail, in pixels of about 8 µm."""

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy import ndimage

from miso.geometry import TileGrid
from miso.slides.density import glass_density, optical_density
from miso.slides.ink import ink_mask
from miso.slides.mask import SlideMask, small_pieces
from miso.slides.slide import RGB, Slide

MASK_MPP = 8.0
"""µm per mask pixel: about one patch of 16 px at 0.5 µm/px."""
MOST_PIXELS = 6e6
"""Of a mask: a slide of more than 20 × 20 mm gets coarser pixels, so that memory stays below about 600 MB."""
SURELY_GLASS, SURELY_TISSUE = 0.06, 0.15
"""Bounds of the threshold on `staining`: noise and uneven tint lie below, the palest stroma above."""
LEAST_COLOUR = 0.1
"""What absorbs all colours alike to within this share is dirt, shadow or ink."""
SMALLEST_TISSUE_UM, LARGEST_HOLE_UM = 60.0, 100.0
"""Sides of squares: smaller pieces are dirt, smaller holes (fat cells, capillaries) belong to the tissue."""
MIN_TILE_SHARE = 0.05
"""A tile is worth encoding where at least this share of it is tissue."""


TissueMask = SlideMask
"""A mask whose pixels are tissue."""


def tissue_mask(slide: Slide, mpp: float = MASK_MPP) -> TissueMask:
    """Find a slide's tissue on a thumbnail of `mpp` µm per pixel; marker ink is none."""
    picture, mpp = mask_thumbnail(slide, mpp)
    density = optical_density(picture)
    ink = ink_mask(density - glass_density(density), mpp)
    return TissueMask(mask=draw_tissue(picture, mpp, ink), slide_size_px=slide.size_px)


def mask_thumbnail(slide: Slide, mpp: float = MASK_MPP) -> tuple[RGB, float]:
    """Shrink a slide to `mpp` µm per pixel, or coarser where it is coarser itself or very large.

    Return the picture, and its µm per pixel.
    """
    long, short = max(slide.size_px), min(slide.size_px)
    longest = min(long * slide.mpp / mpp, (MOST_PIXELS * long / short) ** 0.5)
    picture, _ = slide.thumbnail(max(round(longest), 1))
    return picture, max(slide.size_px) * slide.mpp / max(picture.shape[:2])


def draw_tissue(
    picture: RGB, mpp: float, ink: Bool[NDArray[np.bool_], "row col"]
) -> Bool[NDArray[np.bool_], "row col"]:
    """Find what is stained and no ink on a picture of `mpp` µm per pixel.

    Otsu's threshold (IEEE Trans. SMC 9, 1979) of `staining` parts dense tissue from the rest; applied again
    to that rest it parts pale stroma from glass. It is held between what is surely glass and what is surely
    tissue: a slide full of tissue is all tissue, and a blank one has none. Specks are dropped and small holes
    filled.
    """
    stain = staining(picture)
    between_dense_and_pale = otsu(stain)
    between_pale_and_glass = otsu(stain[stain < between_dense_and_pale])
    stained = stain > np.clip(between_pale_and_glass, SURELY_GLASS, SURELY_TISSUE)
    return _tidy(stained & ~ink, mpp) & ~ink


def whole_slide(slide: Slide) -> TissueMask:
    """Take everything for tissue."""
    return TissueMask(mask=np.ones((1, 1), dtype=np.bool_), slide_size_px=slide.size_px)


def staining(image: RGB) -> Float[NDArray[np.float32], "height width"]:
    """Length of the optical density (log10, three channels) beyond the glass's own, lightly smoothed.

    Tinted and dim glass counts as blank (`glass_density`); without glass, white is blank. Greys are 0.
    """
    density = ndimage.gaussian_filter(optical_density(image), sigma=(1, 1, 0))
    beyond = density - glass_density(density)
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


def tissue_tiles(
    grid: TileGrid, tissue: TissueMask, min_share: float = MIN_TILE_SHARE
) -> Int[NDArray[np.int64], "tile 2"]:
    """First cells (row, column) of the tiles with at least `min_share` of tissue on the slide, (n, 2)."""
    cells, step = grid.first_cells(), grid.raster.step_px
    origin_xy = cells[:, ::-1] * np.float64(step)
    return cells[tissue.share(origin_xy, grid.side * step) >= min_share]


def _tidy(mask: Bool[NDArray[np.bool_], "row col"], mpp: float) -> Bool[NDArray[np.bool_], "row col"]:
    holes = ndimage.binary_fill_holes(mask) & ~mask
    mask = mask | small_pieces(holes, smaller_than_px=(LARGEST_HOLE_UM / mpp) ** 2)
    return mask & ~small_pieces(mask, smaller_than_px=(SMALLEST_TISSUE_UM / mpp) ** 2)
