"""The phantom's grids, random smooth fields and scattered points; positions are level-0 pixels of 0.5 µm."""

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Field = Float[NDArray[np.float32], "row col"]
"""One number a cell of a grid."""

MPP = 0.5
"""µm per level-0 pixel of every phantom section."""
STEP_PX = 8
"""Level-0 pixels between cells of the layout's grids (4 µm)."""
STEP_UM = STEP_PX * MPP
FINE_PX = 2
"""Level-0 pixels between cells of the fine grids (1 µm), on which the ground between nuclei is painted."""


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Field:
    """Draw a stationary Gaussian field of mean 0 and variance 1, smooth on `sigma` cells (at least 1)."""
    coarse = max(1, int(sigma / 4))
    sigma_c = sigma / coarse
    pad = int(np.ceil(3 * sigma_c))
    rows, cols = (-(-side // coarse) + 2 * pad for side in shape)
    white = rng.standard_normal((rows, cols), dtype=np.float32)
    smooth: Field = ndimage.gaussian_filter(white, sigma_c, truncate=3.0)[pad : rows - pad, pad : cols - pad]
    smooth *= np.sqrt(4 * np.pi) * sigma_c
    return resize(smooth, (smooth.shape[0] * coarse, smooth.shape[1] * coarse))[: shape[0], : shape[1]]


def resize(
    field: Field, shape: tuple[int, int], rows: tuple[int, int] | None = None, *, order: int = 3
) -> Field:
    """Resample a grid to `shape`, corners on corners, or only the cells in the range `rows` of it.

    Cubic, or linear with `order` 1; made for enlarging, where it needs no more than two neighbours on a side.
    """
    first, last = rows or (0, shape[0])
    scale = field.shape[0] / shape[0]
    top, bottom = max(int(first * scale) - 3, 0), min(math.ceil(last * scale) + 3, field.shape[0])
    box = (0.0, first * scale - top, float(field.shape[1]), last * scale - top)
    image = Image.fromarray(np.ascontiguousarray(field[top:bottom], dtype=np.float32))
    how = Image.Resampling.BICUBIC if order == 3 else Image.Resampling.BILINEAR
    return np.asarray(image.resize((shape[1], last - first), how, box=box))


def block_mean(field: Field, block: int) -> Field:
    """Average blocks of `block`² cells; the grid's sides are multiples of `block`."""
    rows, cols = field.shape[0] // block, field.shape[1] // block
    return np.asarray(field.reshape(rows, block, cols, block).mean(axis=(1, 3)))


def soft_step(margin: Field, sharpness: float) -> Field:
    """0 where a signed margin is far below zero, 1 far above, in a ramp of about 4 / `sharpness`."""
    return np.asarray(0.5 + 0.5 * np.tanh(np.float32(sharpness / 2) * margin), dtype=np.float32)


def scatter(
    rng: np.random.Generator, size_px: int, spacing_px: float, jitter: float = 0.3
) -> Float[NDArray[np.float64], "point 2"]:
    """Points (x, y) that keep a distance: a hexagonal lattice, each point moved by ± `jitter` spacings."""
    along = np.arange(0, size_px + spacing_px, spacing_px)
    across = np.arange(0, size_px + spacing_px, spacing_px * np.sqrt(3) / 2)
    x, y = np.meshgrid(along.astype(float), across)
    x[1::2] += spacing_px / 2
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    points += rng.uniform(-jitter, jitter, points.shape) * spacing_px
    return points[np.all((points >= 0) & (points < size_px), axis=-1)]


def at(
    field: Field, xy: Float[NDArray[np.float64], "point 2"], step_px: float
) -> Float[NDArray[np.float32], " point"]:
    """Value of the cell that contains each position; the grid starts at the section's corner."""
    col, row = np.floor(xy / step_px).astype(np.int64).T
    return np.asarray(field[np.clip(row, 0, field.shape[0] - 1), np.clip(col, 0, field.shape[1] - 1)])
