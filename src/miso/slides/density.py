"""Optical density of a picture: log10 units per channel, as it is and beyond what the bare glass absorbs."""

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

RGB = UInt8[NDArray[np.uint8], "*batch 3"]
Density = Float[NDArray[np.float32], "*batch 3"]

HAEMATOXYLIN = (0.650, 0.704, 0.286)
EOSIN = (0.072, 0.990, 0.105)
"""Density of each dye in red, green and blue (Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 2001)."""

PALEST = 5.0
"""The glass is the median of this percentage of the picture, the palest."""
DEEPEST_GLASS = 0.12
"""Density per channel beyond which the palest part of a slide is no clear glass: it may be all tissue."""
DIMMEST_GLASS, GREYEST_GLASS = 0.45, 0.05
"""Unless it is grey: a dim lamp gives glass of up to this density, alike in all channels to within this."""
_TABLE = (-np.log10(np.maximum(np.arange(256), 1) / 255)).astype(np.float32)


def optical_density(image: RGB) -> Density:
    """−log10 of the light that came through, 0 for white; black counts as 1 of 255."""
    return _TABLE[image]


def glass_density(density: Density) -> Float[NDArray[np.float32], "3"]:
    """Density of the bare glass: tint and lamp; 0 where a picture shows no glass at all."""
    if not density.size:
        return np.zeros(3, dtype=np.float32)
    total = density.sum(axis=-1)
    glass: Float[NDArray[np.float32], "3"] = np.median(
        density[total <= np.percentile(total, PALEST)], axis=0
    ).astype(np.float32)
    clear = glass.max() <= DEEPEST_GLASS
    dim = glass.max() <= DIMMEST_GLASS and np.ptp(glass) <= GREYEST_GLASS
    return glass if clear or dim else np.zeros_like(glass)


def stain_amounts(beyond: Density) -> Float[NDArray[np.float32], "*batch 2"]:
    """Separate density beyond the glass into amounts of haematoxylin and eosin: lengths in units of density.

    What is neither lies along the cross product of the two and is left out. Amounts are not negative.
    """
    dyes = np.array([HAEMATOXYLIN, EOSIN], dtype=np.float32)
    dyes /= np.linalg.norm(dyes, axis=1, keepdims=True)
    residual = np.cross(*dyes)
    basis = np.stack([*dyes, residual / np.linalg.norm(residual)])
    unmix = np.linalg.inv(basis)[:, :2].astype(np.float32)
    return np.asarray(np.maximum(beyond @ unmix, 0))
