"""Where in a Space Ranger run to look, whichever of its folders is named."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from miso.errors import SampleError
from miso.samples.vendors.files.damage import refusing_damage

MATRIX = "matrix.mtx"
POSITIONS = ("tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv")
"""The newest first."""
SCALE_FACTORS = ("scalefactors_json.json",)
COUNTS = (
    "filtered_feature_bc_matrix.h5",
    "filtered_feature_bc_matrix",
    "raw_feature_bc_matrix.h5",
    "raw_feature_bc_matrix",
    "raw_probe_bc_matrix.h5",
    MATRIX,
)
"""The best first."""
SQUARE = re.compile(r"square_(\d{3})um")
BINS, SPATIAL, OUTS, CELLS = "binned_outputs", "spatial", "outs", "segmented_outputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to look: the folder of the counts, that of the positions, and the bin that its name tells."""

    name: str
    folder: Path
    spatial: Path
    bin_um: float | None = None


def find_place(folder: Path, bin_um: float | None = None, *, coarsest: bool = False) -> Place:
    """Find counts and positions from any folder of a run: the sample's, `outs`, `spatial`, a bin's.

    Parameters
    ----------
    bin_um
        Side of the Visium HD bins to take.
    coarsest
        Whether to take the coarsest bins, rather than to ask, where there are several.

    Raises
    ------
    SampleError
        If there is no such folder, or bins are to be chosen.
    """
    if folder.is_file():
        raise SampleError(f"{folder} is a file; pass the folder of the Space Ranger run that it lies in")
    if not folder.is_dir():
        raise SampleError(f"no folder at {folder}; pass a Space Ranger run, its outs or its spatial folder")
    at = folder.resolve() if folder.name in ("", "..") else folder.absolute()
    if at.name == CELLS:
        raise SampleError(f"{folder} holds segmented cells; MISO reads spots and bins: pass {BINS} beside it")
    if at.name == SPATIAL or at.name in COUNTS:
        at = at.parent
    if at.name == BINS:
        at = at.parent
    elif not SQUARE.fullmatch(at.name) and (at / OUTS).is_dir() and not (at / SPATIAL).is_dir():
        at = at / OUTS
    name = _sample_name(at)
    if SQUARE.fullmatch(at.name):
        return _square(name, at, bin_um)
    if (at / BINS).is_dir():
        return _square(name, _choose_bins(at / BINS, bin_um, coarsest), bin_um)
    if bin_um is not None:
        raise SampleError(f"{folder} has no {BINS}: only Visium HD has bins to choose; leave out --bin-um")
    return Place(name=name, folder=at, spatial=_spatial(at))


def _sample_name(at: Path) -> str:
    generic = {SPATIAL, OUTS, BINS, *COUNTS}
    names = (part.name for part in (at, *at.parents) if not SQUARE.fullmatch(part.name))
    return next((name for name in names if name and name not in generic), "sample")


def _spatial(at: Path) -> Path:
    """Return the folder of positions: `spatial`, the only one `…_spatial`, or the folder itself."""
    if (at / SPATIAL).is_dir():
        return at / SPATIAL
    prefixed = [path for path in visible(at) if path.is_dir() and path.name.endswith(f"_{SPATIAL}")]
    return prefixed[0] if len(prefixed) == 1 else at


def _square(name: str, at: Path, bin_um: float | None) -> Place:
    found = SQUARE.fullmatch(at.name)
    assert found
    if bin_um is not None and float(found[1]) != bin_um:
        raise SampleError(f"{at} holds bins of {float(found[1]):g} µm, not of {bin_um:g} µm")
    return Place(name=name, folder=at, spatial=_spatial(at), bin_um=float(found[1]))


def _choose_bins(folder: Path, bin_um: float | None, coarsest: bool) -> Path:
    bins = {float(found[1]): path for path in visible(folder) if (found := SQUARE.fullmatch(path.name))}
    there = ", ".join(f"{size:g}" for size in sorted(bins))
    if not bins:
        raise SampleError(f"{folder} has no folder like square_008um; is the run complete?")
    if bin_um is None and (len(bins) == 1 or coarsest):
        return bins[max(bins)]
    if bin_um is None:
        raise SampleError(f"{folder} holds bins of {there} µm; choose one with --bin-um")
    if bin_um not in bins:
        raise SampleError(f"{folder} holds bins of {there} µm, none of {bin_um:g} µm; choose with --bin-um")
    return bins[bin_um]


def visible(folder: Path) -> list[Path]:
    """List a folder by name, without the hidden files that a Mac leaves."""
    with refusing_damage(folder):
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def prefix_of(path: Path, keys: Iterable[str]) -> str | None:
    """Return what stands before one of the names in a file's name, or None if it is none of them."""
    name = path.name.removesuffix(".gz")
    for key in keys:
        before = name.removesuffix(key)
        if before != name and (not before or before[-1] in "_.-"):
            return before if path.is_dir() != bool(Path(key).suffix) else None
    return None


def has_traces(folder: Path) -> bool:
    """Whether a folder, or one that a run would have in it, bears names that only Space Ranger gives."""
    if SQUARE.fullmatch(folder.name) or folder.name in (BINS, CELLS):
        return True
    keys = (*POSITIONS, *SCALE_FACTORS, *(key for key in COUNTS if key != MATRIX))
    for place in (folder, folder / OUTS, folder / SPATIAL, folder / OUTS / SPATIAL):
        if place.is_dir() and any(
            path.name in (BINS, CELLS) or prefix_of(path, keys) is not None for path in visible(place)
        ):
            return True
    return folder.name in COUNTS
