"""A folder of legacy Spatial Transcriptomics: a table of counts, one of positions (level-0 pixels), an image.

Array: 200 µm pitch, 100 µm spots (Ståhl et al., Science 2016). Files are known by their content: names vary.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyvips
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.samples.spots import Spots
from miso.samples.vendors.section import VendorOptions, VendorSection
from miso.samples.vendors.st.spots import join_st_spots, st_resolution
from miso.samples.vendors.st.tables import (
    Kind,
    read_head,
    read_named_positions,
    read_st_counts,
    read_st_positions,
    whole_names,
)

TABLE_SUFFIXES = (".tsv", ".txt", ".csv", ".tsv.gz", ".txt.gz", ".csv.gz")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".svs", ".ndpi", ".mrxs")
LAYOUT = "legacy Spatial Transcriptomics"
POSITION_KINDS: tuple[Kind, ...] = ("positions", "named positions")
COUNT_KINDS: tuple[Kind, ...] = ("counts", "transposed counts")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """The tables of a folder, by what they hold; `unread` are those that are damaged."""

    positions: dict[Path, Kind] = field(default_factory=dict)
    counts: dict[Path, Kind] = field(default_factory=dict)
    unread: dict[Path, str] = field(default_factory=dict)


def is_legacy_st(path: Path) -> bool:
    """Whether a folder holds a table of spot positions, or of counts by spots named like `17x9`."""
    if not path.is_dir():
        return False
    found = _find_tables(path)
    return bool(found.positions or found.counts)


def read_legacy_st(folder: Path, options: VendorOptions) -> VendorSection:
    """Read a section; of the pictures in colour that hold every spot, the only one is taken for its image.

    Raises
    ------
    SampleError
        If a table is missing, damaged, or there are several of its kind.
    AlignmentError
        If positions and counts share nothing, or pixels do not follow from array positions.
    """
    found = _find_tables(folder)
    positions_at = _the_only(folder, "spot positions (x, y, pixel_x, pixel_y)", found.positions, found.unread)
    counts_at = _the_only(folder, "counts by spots named like 17x9", found.counts, found.unread)
    read_positions = (
        read_st_positions if found.positions[positions_at] == "positions" else read_named_positions
    )
    positions = read_positions(positions_at)
    counts = read_st_counts(counts_at, transposed=found.counts[counts_at] == "transposed counts")
    counts, renamed = _as_named(counts, positions.index)
    spots = join_st_spots(positions, counts, (positions_at, counts_at), options.duplicate_genes)
    image, pictures = _image(folder, spots.center_xy)
    resolution = st_resolution(spots)
    return VendorSection(
        layout=LAYOUT,
        name=folder.resolve().name,
        spots=_with_notes(spots, [*renamed, *pictures]),
        resolutions=[resolution] if resolution else [],
        image=image,
        inputs=[counts_at, positions_at, *([image] if image else [])],
    )


def _with_notes(spots: Spots, notes: list[str]) -> Spots:
    return replace(spots, notes=[*spots.notes, *notes])


def _find_tables(folder: Path) -> _Tables:
    found = _Tables()
    for path in _files(folder, TABLE_SUFFIXES):
        try:
            kind = read_head(path).kind
        except SampleError as err:
            found.unread[path] = str(err)
            continue
        if kind in POSITION_KINDS:
            found.positions[path] = kind
        elif kind in COUNT_KINDS:
            found.counts[path] = kind
    return found


def _the_only(folder: Path, what: str, candidates: dict[Path, Kind], unread: dict[Path, str]) -> Path:
    if len(candidates) == 1:
        return next(iter(candidates))
    names = ", ".join(path.name for path in candidates)
    if candidates:
        raise SampleError(
            f"{folder} has {len(candidates)} tables of {what}: {names}; leave one section's in the folder"
        )
    if unread:
        raise SampleError(f"{folder} has no table of {what}, and {next(iter(unread.values()))}")
    tables = ", ".join(path.name for path in _files(folder, TABLE_SUFFIXES)) or "no table at all"
    raise SampleError(f"{folder} has no table of {what} (there: {tables})")


def _as_named(counts: pd.DataFrame, names: pd.Index) -> tuple[pd.DataFrame, list[str]]:
    """Bring the names of rows of counts to those of the spots where a pipeline wrote `16.92x9.00`."""
    whole = whole_names(counts.index)
    if counts.index.isin(names).any() or not whole.isin(names).any() or whole.has_duplicates:
        return counts, []
    note = f"counts are named like {counts.index[0]}; they were joined by the nearest whole position"
    return counts.set_axis(whole, axis=0), [note]


def _image(folder: Path, center_xy: Float[NDArray[np.float64], "spot 2"]) -> tuple[Path | None, list[str]]:
    """Return the only picture that can be the section's, or None and what there is."""
    sizes = {path: _colour_size(path) for path in _files(folder, IMAGE_SUFFIXES)}
    far = center_xy.max(axis=0)
    fitting = [path for path, size in sizes.items() if size and bool(np.all(far < size))]
    if len(fitting) == 1:
        others = [path.name for path in sizes if path != fitting[0]]
        passed = f"of the pictures {fitting[0].name} was taken, not {', '.join(others)}"
        return fitting[0], [f"{passed} (grey, or too small for the spots)"] if others else []
    if fitting:
        names = ", ".join(path.name for path in fitting)
        return None, [f"the folder has {len(fitting)} pictures that could be the section's: {names}"]
    if sizes:
        names = ", ".join(path.name for path in sizes)
        return None, [f"no picture of the folder is in colour and holds every spot: {names}"]
    return None, []


def _colour_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of a picture in colour, or None; only its header is read."""
    try:
        image = pyvips.Image.new_from_file(str(path), access="sequential")
    except pyvips.Error:
        return None
    return (image.width, image.height) if image.bands >= 3 else None


def _files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".")  # macOS leaves ._image.jpg
        if not hidden and path.name.lower().endswith(suffixes) and path.is_file():
            yield path
