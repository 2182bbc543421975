"""µm per level-0 pixel from the lattice of spots: by array positions, or by their neighbours alone."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from miso.errors import AlignmentError
from miso.geometry import Points, fit_lattice
from miso.units import Resolution, is_plausible_mpp

MAX_OFF = 0.5
"""No spot lies this share of a pitch off its site; printed ones, named by whole positions, up to 0.22."""
MAX_STRETCH = 1.1
"""A lattice stretched by more than this is no picture of the array: pixels are square."""
MAX_SPREAD = 0.12
"""Steps between neighbours of a printed array differ by less than this share of the pitch (rms)."""
ORDER = 0.7
"""Steps between neighbours point in the lattice's directions when this order parameter is exceeded."""
MIN_STEPS = 12
"""With fewer steps between neighbours, any spots look like a lattice."""

Symmetry = Literal["hexagonal", "square"]
FOLDS: dict[Symmetry, int] = {"hexagonal": 6, "square": 4}
"""By how many turns each lattice looks the same."""


def array_resolution(array_xy: Points, center_xy: Points, pitch_um: float) -> Resolution | None:
    """Fit level-0 pixels to positions on a square array; None where no lattice follows from so few spots.

    Parameters
    ----------
    array_xy
        In array units, `pitch_um` each.

    Raises
    ------
    AlignmentError
        If pixel positions do not follow from array positions: the two are of different spots.
    """
    try:
        fit = fit_lattice(array_xy, center_xy)
    except ValueError:
        return None
    off = float(fit.distance_px(array_xy, center_xy).max()) / fit.pitch_px
    mpp = pitch_um / fit.pitch_px
    if off > MAX_OFF:
        wrong = f"spots lie up to {off:.2g} pitches off their sites"
    elif fit.stretch > MAX_STRETCH:
        wrong = f"one axis is stretched {fit.stretch:.3g} times"
    elif not is_plausible_mpp(mpp):
        wrong = f"a pixel would span {mpp:.3g} µm"
    else:
        return Resolution(mpp=mpp, source=f"lattice pitch of {pitch_um:g} µm")
    raise AlignmentError(f"array positions and pixels are not of one lattice: {wrong}; is the file damaged?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """A lattice recognised by the steps between neighbouring spots alone.

    `pitch_px` is in level-0 pixels; `spread` is the rms deviation of the steps as a share of it.
    """

    symmetry: Symmetry
    pitch_px: float
    spread: float


def find_lattice(center_xy: Points) -> Neighbours | None:
    """Recognise a hexagonal or square lattice, or return None where the spots form neither.

    Steps between neighbours are folded onto one direction by the lattice's symmetry; their mean is the pitch.
    A lattice needs steps in at least two directions: a line of spots is none.
    """
    center_xy = np.asarray(center_xy, dtype=np.float64)
    if len(center_xy) < 4 or not np.isfinite(center_xy).all():
        return None
    tree = KDTree(center_xy)
    near = float(np.median(np.asarray(tree.query(center_xy, k=2)[0])[:, 1]))
    if not near > 0 or tree.count_neighbors(tree, 1.25 * near) > 20 * len(center_xy):
        return None
    pairs = tree.query_pairs(1.25 * near, output_type="ndarray")
    if len(pairs) < MIN_STEPS:
        return None
    steps = np.diff(center_xy[pairs], axis=1)[:, 0] @ np.array([1, 1j])
    found = [_fold(steps, symmetry) for symmetry in FOLDS]
    return next((lattice for lattice in found if lattice is not None), None)


def _fold(steps: NDArray[np.complex128], symmetry: Symmetry) -> Neighbours | None:
    folds = FOLDS[symmetry]
    order = np.mean((steps / np.abs(steps)) ** folds)
    if abs(order) < ORDER:
        return None
    turn = np.exp(1j * np.angle(order) / folds)  # the lattice's first direction
    sector = np.round(np.angle(steps / turn) * folds / (2 * np.pi))
    folded = steps / turn * np.exp(-2j * np.pi * sector / folds)
    pitch = float(np.abs(folded.mean()))
    spread = float(np.sqrt(np.mean(np.abs(folded - folded.mean()) ** 2)) / pitch)
    shares = np.bincount(sector.astype(np.int64) % (folds // 2), minlength=folds // 2) / len(steps)
    if spread > MAX_SPREAD or np.sort(shares)[-2] < 0.05:
        return None
    return Neighbours(symmetry=symmetry, pitch_px=pitch, spread=spread)
