"""The legacy Spatial Transcriptomics lattice on a section: array positions and centres in level-0 pixels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from miso.geometry import Points

JITTER_UM = 3.0
"""Standard deviation of a spot's place about its lattice site."""
MIN_COVER = 0.4
"""Least share of a spot's disc on tissue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """Spots, one a row.

    Attributes
    ----------
    array_xy
        Column and row on the array, from 1.
    refined_xy
        The same, as found on the picture: not whole numbers.
    center_xy
        Centres in level-0 pixels.
    """

    array_xy: Int[NDArray[np.int64], "spot 2"]
    refined_xy: Float[NDArray[np.float64], "spot 2"]
    center_xy: Points

    def take(self, chosen: NDArray[np.bool_]) -> "Lattice":
        """Keep the chosen spots."""
        return Lattice(
            array_xy=self.array_xy[chosen],
            refined_xy=self.refined_xy[chosen],
            center_xy=self.center_xy[chosen],
        )

    @property
    def names(self) -> list[str]:
        """Spots as count matrices call them: `10x31` is column 10, row 31."""
        return [f"{x}x{y}" for x, y in self.array_xy]


def lay_lattice(
    rng: np.random.Generator, size_px: int, pitch_px: float, diameter_px: float, jitter_px: float
) -> Lattice:
    """As many spots as fit with their whole disc, about the section's centre, row by row."""
    n = int((size_px - diameter_px) // pitch_px) + 1
    x, y = np.meshgrid(np.arange(1, n + 1), np.arange(1, n + 1))
    array = np.stack([x.ravel(), y.ravel()], axis=-1)
    margin = (size_px - (n - 1) * pitch_px) / 2
    refined = array + rng.normal(0, jitter_px / pitch_px, array.shape)
    return Lattice(array_xy=array, refined_xy=refined, center_xy=margin + (refined - 1) * pitch_px)
