"""The arrays on which spots lie, as their vendors print them: lengths in µm, barcodes by array position."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from miso.samples.spots import SpotShape
from miso.units import ST_PITCH_UM, ST_SPOT_DIAMETER_UM, VISIUM_PITCH_UM, VISIUM_SPOT_DIAMETER_UM

ArrayName = Literal["st", "visium", "hd"]
"""Legacy Spatial Transcriptomics, 10x Visium, 10x Visium HD (bins of 8 µm)."""

BIN_UM = 8.0
"""Side of the smallest Visium HD bins that the phantom has."""

Places = Int[NDArray[np.int64], "spot 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotArray:
    """How an array is printed.

    Attributes
    ----------
    pitch_um, diameter_um
        Centre-to-centre distance, and diameter of a spot (of a square bin: its side).
    shape
        Whether a spot is a disc or a square.
    most_xy
        Columns and rows of the whole array, where it is not as large as the section.
    """

    pitch_um: float
    diameter_um: float
    shape: SpotShape = "disc"
    most_xy: tuple[int, int] | None = None


ARRAYS: dict[ArrayName, SpotArray] = {
    "st": SpotArray(pitch_um=ST_PITCH_UM, diameter_um=ST_SPOT_DIAMETER_UM),
    "visium": SpotArray(pitch_um=VISIUM_PITCH_UM, diameter_um=VISIUM_SPOT_DIAMETER_UM, most_xy=(128, 78)),
    "hd": SpotArray(pitch_um=BIN_UM, diameter_um=BIN_UM, shape="square", most_xy=(838, 838)),
}


def st_names(array_xy: Places) -> NDArray[np.str_]:
    """Spots as legacy count matrices call them: `10x31` is column 10, row 31."""
    return np.array([f"{x}x{y}" for x, y in array_xy], dtype=np.str_)


def visium_barcodes(array_xy: Places) -> NDArray[np.str_]:
    """Sixteen bases and `-1`; they follow from the place alone, so every section has the same ones.

    An odd multiplier maps 32-bit numbers one to one, so no two places share a barcode.
    """
    place = array_xy[:, 1].astype(np.uint64) * 128 + array_xy[:, 0].astype(np.uint64)
    mixed = (place * 2_654_435_761 + 0x6A09E667) % 2**32
    bases = (mixed[:, None] >> np.arange(0, 32, 2, dtype=np.uint64)) & 3
    return np.array(["".join(row) + "-1" for row in np.array(list("ACGT"))[bases]], dtype=np.str_)


def hd_barcodes(array_xy: Places, bin_um: float = BIN_UM) -> NDArray[np.str_]:
    """Names of bins: `s_008um_00012_00034-1` has a side of 8 µm and lies in row 12, column 34."""
    return np.array([f"s_{bin_um:03.0f}um_{y:05d}_{x:05d}-1" for x, y in array_xy], dtype=np.str_)
