"""Colour maps as tables of 256 colours, from the lowest value to the highest."""

from functools import cache

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray


@cache
def lookup(name: str) -> UInt8[NDArray[np.uint8], "256 3"]:
    """Return the 256 colours of a map of matplotlib's."""
    from matplotlib import colormaps

    return np.round(colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
