"""What Space Ranger says of where spots lie: positions, µm per pixel and the image they were placed on."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from miso.errors import AlignmentError, SampleError
from miso.samples.vendors.files.damage import refusing_damage
from miso.samples.vendors.section import SmallPicture
from miso.samples.vendors.space_ranger.aggregate import find_aggregated, take_library
from miso.samples.vendors.space_ranger.files import SpaceRangerFiles, find_files
from miso.samples.vendors.space_ranger.lattice import check_hd_barcodes, read_lattice
from miso.samples.vendors.space_ranger.pictures import (
    CYTASSIST,
    ScaleFactors,
    full_size_px,
    read_pictures,
    read_scale_factors,
)
from miso.samples.vendors.space_ranger.place import OUTS, Place, find_place
from miso.samples.vendors.space_ranger.positions import Positions, read_positions
from miso.units import Resolution

VERSION = re.compile(rb"spaceranger-(\d\.\d+(?:\.\d+)?)")
LARGEST_SUMMARY = 2**28


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialFolder:
    """What Space Ranger says of where spots lie, without their counts.

    Attributes
    ----------
    files
        Where everything is.
    layout
        What was recognised, for people.
    positions
        All spots of the capture area, in level-0 pixels.
    resolutions
        µm per level-0 pixel, the most trusted source first: `microns_per_pixel`, then the lattice.
    full_size_px, size_slack_px
        (width, height) of the full-resolution image by its small pictures, and how far off that may be.
    pictures
        The small pictures.
    bin_um
        Side of a Visium HD bin; None for spots.
    cytassist
        Whether the array was read through the CytAssist instrument.
    notes
        What is odd, one sentence each.
    """

    files: SpaceRangerFiles
    layout: str
    positions: Positions
    resolutions: list[Resolution]
    full_size_px: tuple[int, int] | None
    size_slack_px: float
    pictures: list[SmallPicture]
    bin_um: float | None
    cytassist: bool
    notes: list[str]

    @property
    def name(self) -> str:
        """What the folder calls the section."""
        return self.files.name

    @property
    def inputs(self) -> list[Path]:
        """Files that this was read from."""
        return [path for path in (self.files.positions, self.files.scale_factors) if path]


def read_spatial(folder: Path, bin_um: float | None = None, library: str = "") -> SpatialFolder:
    """Read positions, scale factors and the sizes of pictures; of several bin sizes the coarsest.

    Parameters
    ----------
    folder
        A sample folder, its `outs`, `spatial` or `binned_outputs`, or one bin's folder.
    bin_um
        Side of the Visium HD bins to take.
    library
        Which library of an aggregated run.

    Raises
    ------
    SampleError
        If a file is absent or damaged, or something is to be chosen.
    AlignmentError
        If positions do not lie on the array's lattice.
    """
    return read_place(find_place(folder, bin_um, coarsest=True), bin_um, library)


def read_place(place: Place, bin_um: float | None, library: str) -> SpatialFolder:
    """Read a folder that was found; see `read_spatial`."""
    files = find_aggregated(place, library) or find_files(place, library)
    factors = read_scale_factors(files.scale_factors)
    positions = take_library(read_positions(files.positions), files.library, library)
    side_um = _bin_side(files, factors, bin_um)
    if side_um is not None:
        check_hd_barcodes(positions, side_um)
    lattice = read_lattice(positions, side_um)
    pictures, notes = read_pictures(files.pictures, factors)
    size_px, slack_px, more = full_size_px(pictures)
    cytassist = factors.cytassist or CYTASSIST in files.pictures
    mirrored = lattice.mirrored and side_um is None and not cytassist
    _check_axes(positions, size_px, slack_px, lattice.mirrored)
    said = [Resolution(mpp=factors.mpp, source="microns_per_pixel of Space Ranger")] if factors.mpp else []
    return SpatialFolder(
        files=files,
        layout=describe(files, said_version(files), side_um, cytassist),
        positions=positions,
        resolutions=[*said, *([lattice.resolution] if lattice.resolution else [])],
        full_size_px=size_px,
        size_slack_px=slack_px,
        pictures=pictures,
        bin_um=side_um,
        cytassist=cytassist,
        notes=[*_told(files, mirrored), *lattice.notes, *notes, *more],
    )


def _bin_side(files: SpaceRangerFiles, factors: ScaleFactors, bin_um: float | None) -> float | None:
    """Return the side of the bins in µm; None for spots."""
    said = {value for value in (files.bin_um, factors.bin_um, bin_um) if value is not None}
    if len(said) > 1:
        sizes = " and ".join(f"{value:g}" for value in sorted(said))
        raise SampleError(f"{files.folder} speaks of bins of {sizes} µm (by its name and its scale factors)")
    if not said and files.positions.suffix == ".parquet":
        raise SampleError(
            f"{files.spatial} is of Visium HD, but nothing says the side of its bins; "
            "add scalefactors_json.json"
        )
    return next(iter(said), None)


def _check_axes(
    positions: Positions, size_px: tuple[int, int] | None, slack_px: float, mirrored: bool
) -> None:
    """Refuse pixel rows and columns that are swapped, where the image's size and the lattice both tell."""
    if size_px is None or not mirrored:
        return
    center_xy = positions.center_xy[positions.in_tissue]
    as_is, swapped = (
        bool(((xy >= -slack_px) & (xy <= np.asarray(size_px) + slack_px)).all())
        for xy in (center_xy, center_xy[:, ::-1])
    )
    if swapped and not as_is:
        raise AlignmentError(
            f"pixel rows and columns of {positions.path.name!r} are swapped: spots lie off the image of "
            f"{size_px[0]} × {size_px[1]} px and would lie on it the other way round; swap these two columns"
        )


def _told(files: SpaceRangerFiles, mirrored: bool) -> list[str]:
    notes = []
    if files.scale_factors is None:
        notes.append("there is no scalefactors_json.json: the scale of the pictures is not known")
    if files.others:
        also = ", ".join(path.name for path in files.others)
        notes.append(f"positions were read from {files.positions.name}, not from {also}")
    if mirrored:
        notes.append(
            "the array lies mirrored on the image; if its positions were made by hand, pixel rows and "
            "columns may be swapped"
        )
    return notes


def said_version(files: SpaceRangerFiles) -> str:
    """Return the version that the run's summary or its log of versions says, or an empty string."""
    root = files.folder.parent if files.folder.name == OUTS else files.folder
    for path in (files.summary, root / "_versions"):
        if path is None or not path.is_file() or path.stat().st_size > LARGEST_SUMMARY:
            continue
        with refusing_damage(path):
            content = path.read_bytes()
        found = VERSION.search(content) or re.search(rb'"pipelines":\s*"(\d\.\d+(?:\.\d+)?)"', content)
        if found:
            return found[1].decode()
    return ""


def describe(files: SpaceRangerFiles, version: str, bin_um: float | None, cytassist: bool) -> str:
    """Word what was recognised; without a version, the names of files tell it roughly."""
    name = files.positions.name.removesuffix(".gz")
    by_name = (
        "3 or later" if name.endswith(".parquet") else "1" if name.endswith("_list.csv") else "2 or later"
    )
    kind = f"Visium HD, {bin_um:g} µm bins" if bin_um is not None else "Visium"
    of = f", library {files.library.name} of an aggregated run" if files.library else ""
    return f"Space Ranger {version or by_name}, {kind}{' (CytAssist)' * cytassist}{of}"
