"""What array spots are of, where no vendor's folder says it: by array positions, names or neighbours."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.geometry import Points
from miso.samples.spots import SpotShape
from miso.samples.vendors.lattice import Neighbours, array_resolution, find_lattice
from miso.samples.vendors.space_ranger.lattice import check_hd_barcodes, read_lattice
from miso.samples.vendors.space_ranger.positions import MAX_ARRAY, MAX_PX, Positions
from miso.samples.vendors.st.tables import SPOT_NAME
from miso.units import (
    ST_PITCH_UM,
    ST_SPOT_DIAMETER_UM,
    VISIUM_PITCH_UM,
    VISIUM_SPOT_DIAMETER_UM,
    Resolution,
    is_plausible_mpp,
)

HD_NAME = re.compile(r"s_(\d{3})um_\d{5}_\d{5}(-\d+)?")
ROUND_SHARE = (0.35, 0.65)
"""Diameter of a legacy ST spot as a share of the pitch is 0.5; bins and pixels of other arrays fill it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotArray:
    """What array spots are of.

    `array_xy` is (column, row), NaN where nothing says it; `notes` say what was assumed.
    """

    kind: str
    array_xy: Float[NDArray[np.float64], "spot 2"]
    diameter_um: float
    pitch_um: float
    shape: SpotShape = "disc"
    resolutions: list[Resolution] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_centers(center_xy: NDArray[np.float64], path: Path, n_spots: int, what: str) -> Points:
    """Refuse what can be no positions in pixels.

    Raises
    ------
    SampleError
        If it is of another shape, or holds what is no number.
    """
    center_xy = np.asarray(center_xy, dtype=np.float64)
    if center_xy.ndim != 2 or len(center_xy) != n_spots or center_xy.shape[1] not in (2, 3):
        raise SampleError(
            f"{path}: {what} is {center_xy.shape}, expected ({n_spots}, 2): x and y of each spot"
        )
    bad = ~(np.abs(center_xy[:, :2]) < MAX_PX).all(axis=1)
    if bad.any():
        raise SampleError(f"{path}: {what} is no pixel position for {bad.sum()} of {n_spots} spots")
    return np.ascontiguousarray(center_xy[:, :2])


def recognise_array(
    path: Path,
    barcodes: Sequence[str],
    obs: pd.DataFrame,
    center_xy: Points,
    *,
    bin_um: float | None = None,
    spot_diameter_px: float | None = None,
) -> SpotArray:
    """Recognise the array: Visium HD by its bins, legacy ST by `17x9`, Visium by array_row and array_col.

    Without any of these the neighbours of spots tell: a hexagonal lattice is taken for Visium's 100 µm, a
    square one for legacy ST's 200 µm if its spots are half as wide as the pitch.

    Parameters
    ----------
    bin_um
        Side of the bins, where something says it.
    spot_diameter_px
        Diameter in level-0 pixels that is only compared with the pitch.

    Raises
    ------
    AlignmentError
        If array and pixel positions contradict each other.
    """
    said = {match[1] for match in map(HD_NAME.fullmatch, barcodes) if match}
    if bin_um is None and len(said) == 1:
        bin_um = float(said.pop())
    if bin_um is None and all(map(SPOT_NAME.fullmatch, barcodes)):
        named = np.array([name.split("x") for name in barcodes], dtype=np.float64)
        resolution = array_resolution(named, center_xy, ST_PITCH_UM)
        return _legacy_st(named, [resolution] if resolution else [], [])
    array_xy = _array_columns(path, obs)
    if array_xy is not None:
        return _of_10x(path, barcodes, array_xy, center_xy, bin_um)
    unknown = np.full((len(center_xy), 2), np.nan)
    if bin_um is not None:
        return SpotArray(
            kind="Visium HD", array_xy=unknown, diameter_um=bin_um, pitch_um=bin_um, shape="square"
        )
    return _by_neighbours(unknown, center_xy, spot_diameter_px)


def _array_columns(path: Path, obs: pd.DataFrame) -> Float[NDArray[np.float64], "spot 2"] | None:
    if not {"array_row", "array_col"} <= set(obs.columns):
        return None
    columns = [pd.to_numeric(obs[name], errors="coerce") for name in ("array_col", "array_row")]
    array_xy = np.stack([column.to_numpy(dtype=np.float64) for column in columns], axis=1)
    bad = ~((array_xy >= 0) & (array_xy < MAX_ARRAY) & (array_xy == np.round(array_xy))).all(axis=1)
    if bad.any():
        raise SampleError(
            f"{path}: array_row and array_col are no whole numbers in {bad.sum()} of {len(bad)} rows"
        )
    return array_xy


def _of_10x(
    path: Path, barcodes: Sequence[str], array_xy: Points, center_xy: Points, bin_um: float | None
) -> SpotArray:
    positions = Positions(
        path=path,
        barcodes=pa.array(list(barcodes), type=pa.string()),
        in_tissue=np.ones(len(array_xy), dtype=bool),
        array_xy=array_xy.astype(np.int64),
        center_xy=center_xy,
    )
    if bin_um is not None:
        check_hd_barcodes(positions, bin_um)
    lattice = read_lattice(positions, bin_um)
    return SpotArray(
        kind="Visium" if bin_um is None else "Visium HD",
        array_xy=array_xy,
        diameter_um=VISIUM_SPOT_DIAMETER_UM if bin_um is None else bin_um,
        pitch_um=VISIUM_PITCH_UM if bin_um is None else bin_um,
        shape="disc" if bin_um is None else "square",
        resolutions=[lattice.resolution] if lattice.resolution else [],
        notes=lattice.notes,
    )


def _legacy_st(array_xy: Points, resolutions: list[Resolution], notes: list[str]) -> SpotArray:
    return SpotArray(
        kind="legacy ST",
        array_xy=array_xy,
        diameter_um=ST_SPOT_DIAMETER_UM,
        pitch_um=ST_PITCH_UM,
        resolutions=resolutions,
        notes=notes,
    )


def _by_neighbours(unknown: Points, center_xy: Points, spot_diameter_px: float | None) -> SpotArray:
    found = find_lattice(center_xy)
    share = spot_diameter_px / found.pitch_px if found and spot_diameter_px else 0.0
    square_spots = (
        found is not None and found.symmetry == "square" and ROUND_SHARE[0] < share < ROUND_SHARE[1]
    )
    pitch_um = ST_PITCH_UM if square_spots else VISIUM_PITCH_UM
    resolutions: list[Resolution] = []
    if found is None:
        note = "spots form no lattice; they were taken for Visium spots of 55 µm"
    elif found.symmetry == "hexagonal" or square_spots:
        resolutions, note = _taken_for(pitch_um, found)
    else:
        note = (
            "spots form a square lattice, of legacy ST (200 µm) or of bins, which is not known; "
            "they were taken for Visium spots of 55 µm"
        )
    notes = [f"there are no array positions; by their neighbours {note}"]
    if square_spots:
        return _legacy_st(unknown, resolutions, notes)
    return SpotArray(
        kind="Visium",
        array_xy=unknown,
        diameter_um=VISIUM_SPOT_DIAMETER_UM,
        pitch_um=VISIUM_PITCH_UM,
        resolutions=resolutions,
        notes=notes,
    )


def _taken_for(pitch_um: float, found: Neighbours) -> tuple[list[Resolution], str]:
    mpp = pitch_um / found.pitch_px
    lattice = f"a {found.symmetry} lattice of {found.pitch_px:.4g} px"
    note = f"spots form {lattice}, which was taken for {pitch_um:g} µm"
    if not is_plausible_mpp(mpp):
        return [], f"{note}; but {mpp:.3g} µm/px has no microscope image: are the positions in pixels?"
    source = f"{found.symmetry} lattice of neighbouring spots, taken for {pitch_um:g} µm"
    return [Resolution(mpp=mpp, source=source)], note
