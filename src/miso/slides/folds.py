"""Folds: tissue that lies twice is twice as dense as the slide's own tissue of the same hue.

A lymph follicle is dark because it is full of haematoxylin, and its hue says so; a fold doubles both dyes
and keeps the hue. So each place is compared with the median density of the slide's tissue at its hue. A
fold of pale tissue can be no denser than dense tissue of that hue: such folds are missed.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage

from miso.slides.density import Density
from miso.slides.mask import small_pieces, without_thin

Plane = Float[NDArray[np.float32], "row col"]
Mask = Bool[NDArray[np.bool_], "row col"]

SMOOTH_UM = 16.0
"""σ of the Gaussian before comparing: evens out nuclei, keeps folds of 60 µm."""
HUES = 24
"""Classes of hue, each with as much tissue."""
LEAST_TISSUE_UM2 = 1e5
"""With less tissue than a few tiles there is nothing to compare with, and no fold is called."""
EXCESS = (1.45, 1.8)
"""A fold is denser than its hue's median by this factor: two layers give 2. Between the two, as the slide is
uneven by itself (`SPREADS`)."""
SPREADS = 2.2
"""Spreads (of the upper half of the tissue) beyond 1 at which the factor is set."""
NARROWEST_FOLD_UM = 24.0
"""What is narrower is dropped: dark rims of ducts and edges."""
SMALLEST_FOLD_UM = 100.0
"""Side of a square: smaller pieces are dense spots of tissue."""


def density_excess(beyond: Density, tissue: Mask, mpp: float) -> Plane:
    """Density over the median density of the slide's tissue of that hue; 0 off the tissue.

    Parameters
    ----------
    beyond
        Density beyond the glass, (row, column, 3).
    mpp
        µm per pixel of it, about 8.
    """
    sigma = SMOOTH_UM / mpp
    inside = np.maximum(ndimage.gaussian_filter(tissue.astype(np.float32), sigma), 1e-3)
    smooth = ndimage.gaussian_filter(np.maximum(beyond, 0) * tissue[..., None], (sigma, sigma, 0))
    smooth /= inside[..., None]
    total = smooth.sum(axis=-1)
    if tissue.sum() * mpp**2 < LEAST_TISSUE_UM2:
        return np.zeros_like(total)
    hue = smooth[..., 0] / np.maximum(smooth[..., 1], 1e-3)
    at, median = _by_hue(hue[tissue], total[tissue])
    excess = total / np.interp(hue, at, median)
    return np.where(tissue, excess, 0).astype(np.float32)


def fold_mask(excess: Plane, tissue: Mask, mpp: float) -> Mask:
    """Find folds where the density exceeds its hue's median by the slide's own limit."""
    values = excess[tissue]
    if not values.size:
        return np.zeros_like(tissue)
    spread = (np.percentile(values, 75) - np.median(values)) / 0.674
    fold = excess > np.clip(1 + SPREADS * spread, *EXCESS)
    fold = without_thin(fold, NARROWEST_FOLD_UM / mpp)
    return np.asarray(fold & ~small_pieces(fold, (SMALLEST_FOLD_UM / mpp) ** 2), dtype=np.bool_)


def _by_hue(
    hue: Float[NDArray[np.floating], " pixel"], total: Float[NDArray[np.floating], " pixel"]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return hues, ascending, and the median density at each, smoothed over its neighbours."""
    order = np.argsort(hue, kind="stable")
    parts = [part for part in np.array_split(order, HUES) if part.size]
    median = np.array([np.median(total[part]) for part in parts])
    smooth = ndimage.gaussian_filter1d(median, 1.0, mode="nearest")
    return np.array([np.median(hue[part]) for part in parts]), np.maximum(smooth, 1e-3)
