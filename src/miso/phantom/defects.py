"""Pen, folds and blur painted on a picture where a mask says so: bad tiles with a known answer."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from scipy import ndimage

RGB = UInt8[NDArray[np.uint8], "height width 3"]
Mask = Bool[NDArray[np.bool_], "height width"]

INKS = {
    "blue": (0.10, 0.24, 0.66),
    "green": (0.08, 0.47, 0.27),
    "black": (0.09, 0.09, 0.10),
    "red": (0.80, 0.10, 0.16),
}
"""Light in red, green and blue that an opaque stroke of a marker lets through."""
TRANSLUCENT = 0.4
"""A thin stroke absorbs this part of an opaque one's optical density."""
STEPS = 400


def strokes(
    rng: np.random.Generator, size_px: tuple[int, int], width_px: float, n: int, length_px: float
) -> Mask:
    """Draw `n` curved bands of a width on a picture of (width, height) `size_px`."""
    width, height = size_px
    shrink = max(int(width_px // 12), 1)
    far = np.ones((-(-height // shrink), -(-width // shrink)), dtype=np.bool_)
    for _ in range(n):
        x, y = (_curve(rng, rng.uniform(0, side), length_px) for side in size_px)
        col, row = (x // shrink).astype(int), (y // shrink).astype(int)
        inside = (col >= 0) & (row >= 0) & (col < far.shape[1]) & (row < far.shape[0])
        far[row[inside], col[inside]] = False
    band = ndimage.distance_transform_edt(far) <= width_px / 2 / shrink
    return np.repeat(np.repeat(band, shrink, axis=0), shrink, axis=1)[:height, :width]


def ink(image: RGB, where: Mask, colour: str, strength: float = 1.0) -> RGB:
    """Lay a marker's ink over a picture; `strength` scales its optical density."""
    through = np.asarray(INKS[colour], dtype=np.float32) ** np.float32(strength)
    return np.where(where[..., None], image * through, image).round().astype(np.uint8)


def fold(image: RGB, where: Mask, shift_px: tuple[int, int], glass: tuple[float, float, float]) -> RGB:
    """Lay a second layer over a picture: the tissue `shift_px` (x, y) away, whose optical density adds."""
    flap = np.roll(image, shift_px[::-1], axis=(0, 1)) / np.asarray(glass, dtype=np.float32)
    return np.where(where[..., None], image * np.minimum(flap, 1), image).round().astype(np.uint8)


def blur(image: RGB, where: Mask, sigma_px: float, rng: np.random.Generator, noise: float = 2.0) -> RGB:
    """Defocus a picture by a Gaussian; the camera's noise (in grey levels) is as sharp as ever."""
    smooth: Float[NDArray[np.float32], "height width 3"] = ndimage.gaussian_filter(
        image.astype(np.float32), (sigma_px, sigma_px, 0)
    )
    smooth += noise * rng.standard_normal(smooth.shape, dtype=np.float32)
    return np.where(where[..., None], np.clip(smooth.round(), 0, 255), image).astype(np.uint8)


def _curve(rng: np.random.Generator, start: float, length_px: float) -> Float[NDArray[np.float64], " step"]:
    """One coordinate along a slow random curve."""
    t = np.linspace(0, 1, max(STEPS, int(length_px)))
    bend = rng.normal(0, 0.15, 3) @ np.sin(np.outer([2, 4, 6], t))
    return np.asarray(start + length_px * (rng.uniform(-0.7, 0.7) * (t - 0.5) + bend))
