"""The lattice of a Visium array: µm per pixel from it, and whether the positions follow it at all."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from miso.errors import AlignmentError
from miso.geometry import LatticeFit, Points, fit_lattice
from miso.samples.vendors.space_ranger.positions import Positions
from miso.units import VISIUM_PITCH_UM, Resolution, is_plausible_mpp

SLACK, HD_SLACK_UM = 0.1, 5.0
"""How far off its site a spot may lie, in pitches; the image registration of Visium HD bends the lattice by
a few µm."""
MAX_STRETCH = 1.1
"""Real lattices are stretched by less than 0.5 %: pixels are square."""
SWAPPED_STRETCH = 3.0
"""Rows of a Visium array are √3 half-pitches apart, columns one: swapped, it seems stretched 3 : 1."""
HD_BARCODE = r"^s_(?P<bin>\d{3})um_(?P<row>\d{5})_(?P<col>\d{5})(?:-\d+)?$"


def array_um(positions: Positions, bin_um: float | None) -> Points:
    """Where the spots lie on the array in µm, (x, y): bins on a square lattice, spots on a hexagonal one."""
    unit_um = np.array(
        [bin_um, bin_um] if bin_um else [0.5 * VISIUM_PITCH_UM, np.sqrt(0.75) * VISIUM_PITCH_UM]
    )
    return np.asarray(positions.array_xy * unit_um, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """The image's resolution by the lattice, unless too few spots tell it, and whether it lies face down."""

    resolution: Resolution | None
    mirrored: bool
    notes: list[str]


def read_lattice(positions: Positions, bin_um: float | None) -> Lattice:
    """Fit the lattice.

    Raises
    ------
    AlignmentError
        If spots lie off the lattice, it is stretched, or its scale is no microscope's.
    """
    name, site_um = positions.path.name, array_um(positions, bin_um)
    try:
        fit = fit_lattice(site_um, positions.center_xy)
    except ValueError as err:
        return Lattice(resolution=None, mirrored=False, notes=[f"no µm per pixel from {name}: {err}"])
    _check_distances(positions, site_um, fit, bin_um)
    _check_shape(name, fit, bin_um)
    pitch = f"{VISIUM_PITCH_UM if bin_um is None else bin_um:g} µm"
    resolution = Resolution(mpp=1 / fit.pitch_px, source=f"lattice pitch of {pitch}")
    return Lattice(resolution=resolution, mirrored=fit.mirrored, notes=[])


def _check_shape(name: str, fit: LatticeFit, bin_um: float | None) -> None:
    if bin_um is None and abs(fit.stretch / SWAPPED_STRETCH - 1) < MAX_STRETCH - 1:
        raise AlignmentError(
            f"array_row and array_col of {name!r} are swapped (the lattice is stretched 3 : 1); "
            "swap these two columns"
        )
    if fit.stretch > MAX_STRETCH:
        raise AlignmentError(
            f"the lattice of {name!r} is stretched {fit.stretch:.3g} : 1 between array and pixels; "
            "were the pixel positions scaled, or is this not a Visium array?"
        )
    if not is_plausible_mpp(1 / fit.pitch_px):
        raise AlignmentError(
            f"by the lattice of {name!r} a pixel spans {1 / fit.pitch_px:.3g} µm, which no microscope image "
            "does; were the pixel positions scaled?"
        )


def _check_distances(positions: Positions, site_um: Points, fit: LatticeFit, bin_um: float | None) -> None:
    slack_um = SLACK * VISIUM_PITCH_UM if bin_um is None else max(SLACK * bin_um, HD_SLACK_UM)
    off_um = fit.distance_px(site_um, positions.center_xy) / fit.pitch_px
    if off_um.max() <= slack_um:
        return
    off_um = _off_the_others(site_um, positions.center_xy, off_um)
    bad, worst = int((off_um > slack_um).sum()), int(off_um.argmax())
    raise AlignmentError(
        f"{bad} of {len(positions)} spots of {positions.path.name!r} lie more than {slack_um:g} µm off the "
        f"lattice of the array (worst: {positions.barcodes[worst].as_py()!r}, {off_um[worst]:.4g} µm); "
        "the file is damaged or its columns are mixed up"
    )


def _off_the_others(
    site_um: Points, center_xy: Points, off_um: Float[NDArray[np.float64], " spot"]
) -> Float[NDArray[np.float64], " spot"]:
    """Measure again from the lattice of the better half of the spots, so that a few do not bend it."""
    for _ in range(10):
        better = off_um <= np.median(off_um)
        try:
            fit = fit_lattice(site_um[better], center_xy[better])
        except ValueError:
            break
        off_um = fit.distance_px(site_um, center_xy) / fit.pitch_px
    return off_um


def check_hd_barcodes(positions: Positions, bin_um: float) -> None:
    """Compare the bin, row and column that Visium HD barcodes spell with the columns beside them.

    Raises
    ------
    AlignmentError
        If they differ.
    """
    said = pc.extract_regex(positions.barcodes, HD_BARCODE)
    spelt = np.asarray(pc.is_valid(said))
    if not spelt.any():
        return
    size, row, col = (_number(said, key)[spelt] for key in ("bin", "row", "col"))
    at, name = positions.array_xy[spelt], positions.path.name
    if (size != bin_um).any():
        raise AlignmentError(
            f"{name!r} places bins of {size[size != bin_um][0]} µm (by their barcodes), but the folder is "
            f"one of {bin_um:g} µm bins; are its files of several bin sizes?"
        )
    differ: Bool[NDArray[np.bool_], " bin"] = (at[:, 0] != col) | (at[:, 1] != row)
    if differ.any():
        swapped = bool(((at[:, 0] == row) & (at[:, 1] == col)).all())
        first = positions.barcodes.filter(pa.array(spelt))[int(differ.argmax())].as_py()
        raise AlignmentError(
            f"{differ.sum()} of {len(positions)} bins of {name!r} have another array_row or array_col than "
            f"their barcode says (first: {first!r})"
            + ("; the two columns are swapped" if swapped else "; the file is damaged or edited")
        )


def _number(said: pa.Array, key: str) -> NDArray[np.int64]:
    text = pc.struct_field(said, key)
    return np.asarray(pc.cast(pc.if_else(pc.equal(text, ""), "0", text), pa.int64()))
