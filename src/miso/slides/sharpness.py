"""How sharp a tile is: fine detail over coarse, on its density at 1 µm per pixel; blur leaves little."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from scipy import ndimage

from miso.slides.density import optical_density

SHARPNESS_MPP = 1.0
"""µm per pixel at which detail is measured; a slide coarser than this holds none to measure."""
COARSEST_MPP = 1.1
"""Slides up to here are read at `SHARPNESS_MPP` all the same (10× scans are not exactly 1 µm/px)."""
BLOCK_PX = 28
"""A tile's sharpness is the median of blocks of about this side, so that what most of it is counts."""
LEAST_SHARP = 0.2
"""Below this a tile is blurred. Sharp tissue of five scans: 0.38 and more (98 % of tiles); a Gaussian of σ
1.5 µm brings it to 0.1–0.2, one of 2 µm below 0.13, whatever the tissue."""
_SIGMAS_PX = (1.0, 2.0, 4.0, 8.0)

RGB = UInt8[NDArray[np.uint8], "height width 3"]
Plane = Float[NDArray[np.float32], "height width"]


def tile_sharpness(rgb: RGB) -> float:
    """Measure a tile at `SHARPNESS_MPP`; no unit, 0.4 to 2 where sharp; NaN where there is no detail.

    Density is split into bands of detail by differences of Gaussians of σ 1, 2, 4 and 8 µm. The result is the
    smaller of two ratios of energies: below 1 µm over 2–4 µm, which falls fast with blur but rises again when
    only the camera's noise is left, and 1–2 µm over 4–8 µm, which goes on falling.
    """
    density = optical_density(rgb).mean(axis=-1)
    layers = [density, *(ndimage.gaussian_filter(density, sigma) for sigma in _SIGMAS_PX)]
    energy = [_blocks((fine - coarse) ** 2) for fine, coarse in pairwise(layers)]
    if max(energy[2].max(), energy[3].max()) < 1e-9:
        return float("nan")
    ratio = np.minimum(energy[0] / np.maximum(energy[2], 1e-9), energy[1] / np.maximum(energy[3], 1e-9))
    return float(np.median(ratio))


def _blocks(plane: Plane) -> Float[NDArray[np.float32], "row col"]:
    """Mean over blocks that part the tile evenly."""
    counts = [max(side // BLOCK_PX, 1) for side in plane.shape]
    rows, columns = (np.arange(n) * side // n for n, side in zip(counts, plane.shape, strict=True))
    sums = np.add.reduceat(np.add.reduceat(plane, rows, axis=0), columns, axis=1)
    height, width = (
        np.diff([*edges, side]) for edges, side in zip((rows, columns), plane.shape, strict=True)
    )
    return np.asarray(sums / np.outer(height, width), dtype=np.float32)
