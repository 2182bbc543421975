"""Stain augmentation: RGB as if the dyes were a little stronger or weaker, at random; white stays white."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from miso.errors import SlideError
from miso.slides.density import EOSIN, HAEMATOXYLIN
from miso.slides.stain_reference import LEAST_DENSITY

Images = UInt8[NDArray[np.uint8], "*batch height width 3"]
Planes = Float[NDArray[np.float32], "3 pixel"]

WHITE, LN10 = np.float32(255), np.float32(np.log(10))
CHUNK = 1 << 13
"""Pixels changed at a time, so that the work stays in the processor's cache."""
STRENGTH = 0.05
"""A light augmentation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StainJitter:
    """Amounts of haematoxylin, eosin and residual, scaled and shifted at random.

    After Tellez et al. (IEEE TMI 37, 2018), in optical density (log10) along the vectors of Ruifrok &
    Johnston: amount · U(1 − s, 1 + s) + U(−s, s), the shift fading out towards white.

    Attributes
    ----------
    seed
        The same seed and key give the same change, whatever the batches.
    strength
        s: 0.05 is light, 0.2 strong.
    key
        Whose change it is: the slide's name.
    per_tile
        Draw anew for every tile, from its own pixels, rather than once.
    """

    seed: int
    strength: float = STRENGTH
    key: str = ""
    per_tile: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.strength < 1 or self.seed < 0:
            raise SlideError(
                f"stain augmentation by seed {self.seed} of strength {self.strength:g}: a seed is 0 or "
                "above, a strength from 0 to below 1"
            )

    def __call__(self, rgb: Images) -> Images:
        """Change pictures (…, height, width, 3)."""
        if not self.per_tile:
            return self._change(rgb, self.key)
        tiles = rgb.reshape(-1, *rgb.shape[-3:])
        changed = [self._change(tile, f"{self.key} {zlib.crc32(tile.tobytes())}") for tile in tiles]
        return np.stack(changed).reshape(rgb.shape) if changed else rgb

    def _change(self, rgb: Images, key: str) -> Images:
        rng = np.random.default_rng([self.seed, zlib.crc32(key.encode())])
        scale = rng.uniform(1 - self.strength, 1 + self.strength, 3)
        shift = rng.uniform(-self.strength, self.strength, 3)
        basis = with_normal(np.array([HAEMATOXYLIN, EOSIN]))
        matrix = np.linalg.inv(basis) @ np.diag(scale) @ basis
        offset = shift @ basis / LEAST_DENSITY

        def change(light: Planes) -> Planes:
            density = np.log(WHITE / light)  # natural, as is all of this
            stained = np.minimum(density.max(axis=0), np.float32(LEAST_DENSITY * LN10))
            fading = stained * offset.astype(np.float32)[:, None]
            return np.asarray(WHITE * np.exp(-combine(density, matrix) - fading))

        return by_chunks(rgb, change)


def by_chunks(rgb: Images, change: Callable[[Planes], Planes]) -> Images:
    """Apply a change of light, 1 to 255 in three planes, to pictures of any size; rounded and clipped."""
    pixels = np.ascontiguousarray(rgb).reshape(-1, 3)
    out = np.empty_like(pixels)
    for start in range(0, len(pixels), CHUNK):
        light = np.maximum(pixels[start : start + CHUNK].T.astype(np.float32, order="C"), 1)
        light = change(light)
        light += np.float32(0.5)
        out[start : start + CHUNK] = np.clip(light, 0, 255, out=light).T
    return out.reshape(rgb.shape)


def combine(planes: Planes, matrix: Float[NDArray[np.float64], "3 3"]) -> Planes:
    """Multiply each pixel, as a row, by a matrix; in planes this is faster than as rows."""
    a, b, c = planes
    out = np.empty_like(planes)
    for into, (x, y, z) in zip(out, matrix.T.astype(np.float32), strict=True):
        np.multiply(a, x, out=into)
        into += b * y
        into += c * z
    return out


def with_normal(stains: Float[NDArray[np.float64], "2 3"]) -> Float[NDArray[np.float64], "3 3"]:
    """Return two stains and the normal of their plane, each of length 1."""
    basis = np.stack([*stains, np.cross(*stains)])
    unit: Float[NDArray[np.float64], "3 3"] = basis / np.linalg.norm(basis, axis=1, keepdims=True)
    return unit
