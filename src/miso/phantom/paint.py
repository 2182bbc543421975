"""From ground and nuclei to an 8-bit RGB picture at 0.5 µm/px or finer: two dyes mixed by Beer–Lambert."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from scipy import ndimage

from miso.phantom.cells import Nuclei
from miso.phantom.fields import Field, resize
from miso.phantom.ground import Ground
from miso.phantom.sprites import stamp

BAND = 128
"""Rows mixed at a time, in level-0 pixels."""
NOISE_SIDE = 512
NOISE_SD = 2.0
"""Camera noise in grey levels."""

RGB = UInt8[NDArray[np.uint8], "height width 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stain:
    """How a laboratory stained and scanned.

    Attributes
    ----------
    haematoxylin, eosin
        Optical density (natural logarithm) in red, green and blue of one unit of each dye; of length 1.
    strength
        Factors on the amounts of the two dyes.
    glass
        Light through bare glass in red, green and blue, at most 255.
    """

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    strength: tuple[float, float]
    glass: tuple[float, float, float]

    @property
    def dyes(self) -> Float[NDArray[np.float32], "2 3"]:
        """Optical density of one unit of each dye at this strength."""
        pure = np.asarray([self.haematoxylin, self.eosin])
        return np.asarray(pure * np.asarray(self.strength)[:, None], dtype=np.float32)


def paint(
    rng: np.random.Generator, ground: Ground, nuclei: Nuclei, stain: Stain, size_px: int, zoom: int = 1
) -> RGB:
    """Stamp the nuclei over the ground and look at both through the stain, with a little noise.

    `size_px` is the section's side in pixels of 0.5 µm. With `zoom` z the same nuclei are drawn on pixels of
    0.5 / z µm over the ground between its grid's cells; only the camera's noise is another.
    """
    nuclear = stamp(rng, nuclei, size_px, zoom)
    size_px *= zoom
    noise = _noise(rng, size_px)
    image = np.empty((size_px, size_px, 3), dtype=np.uint8)
    for top in range(0, size_px, BAND):
        rows = (top, min(top + BAND, size_px))
        start = int(rng.integers(NOISE_SIDE - BAND))
        image[slice(*rows)] = _mix(ground, nuclear, stain, noise[start : start + rows[1] - top], rows)
    return image


def _mix(ground: Ground, nuclear: Field, stain: Stain, noise: Field, rows: tuple[int, int]) -> RGB:
    """Rows of the picture; nuclei hold less eosin than what surrounds them."""
    band = nuclear[slice(*rows)]
    shape = (nuclear.shape[0], nuclear.shape[1])
    h = np.maximum(resize(ground.haematoxylin, shape, rows, order=1), 0) + band
    e = np.maximum(resize(ground.eosin, shape, rows, order=1), 0) * (1 - 0.6 * np.minimum(band, 1))
    image = np.empty((*band.shape, 3), dtype=np.uint8)
    for channel, (of_h, of_e) in enumerate(stain.dyes.T):
        light = np.float32(stain.glass[channel]) * np.exp(-(h * of_h + e * of_e))
        light += np.roll(noise, 331 * channel, axis=1)
        image[..., channel] = np.clip(light, 0, 255)
    return image


def _noise(rng: np.random.Generator, size_px: int) -> Field:
    """Camera noise, slightly blurred as by demosaicing; each channel and band takes another part of it."""
    smooth: Field = ndimage.gaussian_filter(rng.standard_normal((NOISE_SIDE, size_px), dtype=np.float32), 0.6)
    return np.asarray(smooth * (NOISE_SD / smooth.std()), dtype=np.float32)
