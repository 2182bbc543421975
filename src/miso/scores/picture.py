"""Structural similarity of two pictures of a gene on a raster, cells off the tissue left out: −1 to 1.

Unlike `miso.scores.ssim`, which takes all spots as one window, it sees where things lie.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage

Plane = Float[NDArray[np.floating], "row col"]
Mask = Bool[NDArray[np.bool_], "row col"]
SIGMA_CELLS, REACH_CELLS = 1.5, 5
"""Window of Wang Z. et al., IEEE Transactions on Image Processing 2004: a Gaussian on 11 × 11 cells."""
LUMINANCE, CONTRAST = 0.01**2, 0.03**2
"""Their two constants, for pictures of the range 0 to 1."""


def picture_ssim(predicted: Plane, truth: Plane, tissue: Mask) -> float:
    """Mean SSIM over the cells of the tissue, each side between its own extremes there.

    A window counts the cells of the tissue in it and no others, so neither glass nor the picture's border
    has a say. NaN where either side does not vary, or no cell is left; cells that either lacks are left out.
    """
    seen = tissue & np.isfinite(predicted) & np.isfinite(truth)
    if not seen.any():
        return float("nan")
    p, t = (_between_extremes(side, seen) for side in (predicted, truth))
    if not (p.any() and t.any()):
        return float("nan")
    share = _blur(seen.astype(np.float64))
    p_mean, t_mean, pp, tt, pt = (
        _blur(x)[seen] / share[seen] for x in (p, t, p**2, t**2, p * t)
    )  # what is not seen is 0
    covariance, spread = pt - p_mean * t_mean, pp - p_mean**2 + tt - t_mean**2
    luminance = (2 * p_mean * t_mean + LUMINANCE) / (p_mean**2 + t_mean**2 + LUMINANCE)
    return float(np.mean(luminance * (2 * covariance + CONTRAST) / (spread + CONTRAST)))


def _between_extremes(plane: Plane, seen: Mask) -> Float[NDArray[np.float64], "row col"]:
    """Scale what is seen to 0–1, all 0 where it does not vary; 0 elsewhere."""
    values = np.where(seen, plane, 0).astype(np.float64)
    least, most = values[seen].min(), values[seen].max()
    if most - least <= 1e-6 * max(abs(least), abs(most)):
        return np.zeros_like(values)
    return np.where(seen, (values - least) / (most - least), 0)


def _blur(plane: Float[NDArray[np.float64], "row col"]) -> Float[NDArray[np.float64], "row col"]:
    return np.asarray(ndimage.gaussian_filter(plane, SIGMA_CELLS, mode="constant", radius=REACH_CELLS))
