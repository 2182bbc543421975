"""A map at the slide's border: windows see the slide mirrored there, and what they say is kept in its place.

The patches that see a cell lie evenly about its centre, but not at the border: of two patches that are
shifted by half of one, that which reaches off the slide sees the slide's first half patch, twice, and the
other sees the first whole one. Alike, they would tell of a place further inwards than the cell. No patch sees
less than half of itself, so cells finer than that lie up to a quarter of a patch further inwards there.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from miso.geometry import TileGrid

Weights = Float[NDArray[np.float32], "phase cell"]
FAINT = np.float32(1e-6)
"""Weight of a patch that would move a cell off its place: it counts where no other sees the cell."""
EXACT_PX = 1e-6


def mirrored(place: Int[NDArray[np.int64], " px"], length: int) -> Int[NDArray[np.int64], " px"]:
    """Fold pixels off a slide of `length` back onto it: −1 is 0, −2 is 1, `length` is the last one."""
    within = place % (2 * length)
    return np.minimum(within, 2 * length - 1 - within)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Weights of patches along one axis of a map, by the cell of a patch's side that they begin on.

    Attributes
    ----------
    weights
        By phase (a patch's first cell, modulo the cells of a patch) and by cell.
    side
        Cells of a window.
    """

    weights: Weights
    side: int

    def of_window(self, first: int) -> Float[NDArray[np.float32], " cell"]:
        """Weights of the cells of a window that begins on cell `first`; 1 off the map."""
        of_phase = self.weights[first % len(self.weights)]
        found = np.ones(self.side, dtype=np.float32)
        low, high = max(first, 0), min(first + self.side, len(of_phase))
        found[low - first : high - first] = of_phase[low:high]
        return found


def axes_of(grid: TileGrid) -> tuple[Axis, Axis]:
    """Weigh the patches of a grid along rows and along columns.

    Where a patch over a cell reaches off the slide, patches whose middles lie to the heavier side of the
    cell's middle are made lighter, until both sides balance; where none lies to the other side, only the
    nearest count. A mirrored patch's middle is that of what it shows. Inside the slide weights are 1.
    """
    up_left = grid.first_cells()
    return _axis(grid, up_left[:, 0], 0), _axis(grid, up_left[:, 1], 1)


def _axis(grid: TileGrid, first: Int[NDArray[np.int64], " tile"], axis: int) -> Axis:
    cell_px, patch_px = grid.cell_px, grid.patches.patch_px
    count, n_cells, length = patch_px // cell_px, grid.raster.shape[axis], grid.slide_tile_px[axis]
    weights = np.ones((count, n_cells), dtype=np.float32)
    phases = np.unique(first % count)
    for cell in sorted({*range(min(count, n_cells)), *range(max(n_cells - count - 1, 0), n_cells)}):
        starts = (cell - (cell - phases) % count) * cell_px
        if starts.min() < 0 or starts.max() + patch_px > length:
            middle = min(cell * cell_px + min((cell + 1) * cell_px, length), 2 * length) / 2
            seen = mirrored(starts[:, None] + np.arange(patch_px), length).mean(axis=1) + 0.5
            weights[phases, cell] = _balanced(seen - middle)
    return Axis(weights=weights, side=grid.side)


def _balanced(off: Float[NDArray[np.float64], " phase"]) -> Float[NDArray[np.float32], " phase"]:
    """Weigh what lies so far off a place, so that the mean lies on it, or as near as can be."""
    off = np.where(np.abs(off) < EXACT_PX, 0, off)
    before, after = -off[off < 0].sum(), off[off > 0].sum()
    share = min(before, after) / max(before, after, EXACT_PX)
    if share == 0:
        lighter = np.abs(off) > np.abs(off).min() + EXACT_PX
    else:
        lighter = off < 0 if before > after else off > 0
    return np.where(lighter, np.float32(max(share, FAINT)), np.float32(1))
