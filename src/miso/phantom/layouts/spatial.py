"""The folder `spatial` of Space Ranger: where spots lie in level-0 pixels, and the small pictures."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from miso.phantom.cohort import Section
from miso.phantom.spots import Lattice

HIRES_PX, LOWRES_PX, TARGET_PX = 2000, 600, 6000
"""Longest sides of the small pictures, and of the one on which a CytAssist's view is registered."""
COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What `spot_diameter_fullres` and `fiducial_diameter_fullres` span, in µm: not a spot's 55 µm."""

    spot_um: float
    fiducial_um: float


SLIDE_MARKS = Marks(spot_um=65.0, fiducial_um=105.0)
CYTASSIST_MARKS = Marks(spot_um=70.0, fiducial_um=122.5)


def positions(sites: Lattice, on_tissue: NDArray[np.bool_], *, whole: bool) -> pd.DataFrame:
    """Every site of the array, pixels as (row, column), rounded where `whole`."""
    pixels = np.rint(sites.center_xy).astype(np.int64) if whole else sites.center_xy
    values = (
        sites.names.astype(object),
        on_tissue.astype(np.int32),
        sites.array_xy[:, 1].astype(np.int32),
        sites.array_xy[:, 0].astype(np.int32),
        pixels[:, 1],
        pixels[:, 0],
    )
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def scale_factors(
    section: Section, marks: Marks, *, hires_px: int = HIRES_PX, target: bool = False
) -> dict[str, float]:
    """Say what `scalefactors_json.json` says; small pictures are never larger than the full one."""
    longest, mpp = max(section.image.shape), section.truth.mpp
    factors = {
        "spot_diameter_fullres": marks.spot_um / mpp,
        "tissue_hires_scalef": min(1.0, hires_px / longest),
        "fiducial_diameter_fullres": marks.fiducial_um / mpp,
        "tissue_lowres_scalef": min(1.0, LOWRES_PX / longest),
    }
    return factors | ({"regist_target_img_scalef": min(1.0, TARGET_PX / longest)} if target else {})


def write_json(path: Path, factors: dict[str, float]) -> None:
    """Write scale factors on one line, as Space Ranger does."""
    path.write_text(json.dumps(factors), encoding="utf-8")
