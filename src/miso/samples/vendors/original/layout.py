"""The folder of `.npy` files that the original MISO keeps of a section: its files, and its two flavours.

Rows of `features.npy` are [level, first, second, features …], rows of `features_subtile.npy` the same of each
patch, row-major. In the Visium flavour (first, second) is (x, y) of the tile's or patch's top-left corner; in
the HER2ST flavour it is (y, x), of the spot's centre, and of that plus the patch's offset from the first one.
All in level-0 pixels.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.geometry import Points

Flavour = Literal["visium", "her2st"]
FEATURES, PATCHES, NEIGHBORS, BARCODES = (
    "features.npy",
    "features_subtile.npy",
    "neighbors.npy",
    "barcodes.npy",
)
READS, GENES, READ_BARCODES = "raw_reads/reads.npy", "raw_reads/gene_names.npy", "raw_reads/barcodes.npy"
LEAD = 3
"""Columns before the features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileLayout:
    """How the tiles of a folder were cut: `tile_px` is their side, `downsample` level-0 pixels a pixel."""

    flavour: Flavour
    tile_px: int
    patch_px: int
    downsample: float

    @property
    def patches_along(self) -> int:
        """Patches along a side of the tile."""
        return self.tile_px // self.patch_px

    def to_lead(self, center_xy: Points) -> Points:
        """(first, second) of the tiles about these centres."""
        half = self.tile_px * self.downsample / 2
        return center_xy[:, ::-1] if self.flavour == "her2st" else center_xy - half

    def from_lead(self, lead: Points) -> Points:
        """Centres of the tiles of these (first, second)."""
        half = self.tile_px * self.downsample / 2
        return lead[:, ::-1] if self.flavour == "her2st" else lead + half

    def patch_steps(self) -> Float[NDArray[np.float64], "patch 2"]:
        """(first, second) of each patch, row-major, minus that of its tile."""
        row, col = np.divmod(np.arange(self.patches_along**2), self.patches_along)
        order = (row, col) if self.flavour == "her2st" else (col, row)
        return np.stack(order, axis=1) * (self.patch_px * self.downsample)
