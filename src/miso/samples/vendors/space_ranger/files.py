"""Which files of a Space Ranger folder are what, whatever prefix they bear (`GSM123_S1_…`)."""

from dataclasses import dataclass, field
from pathlib import Path

from miso.errors import SampleError
from miso.samples.vendors.files.damage import shown
from miso.samples.vendors.space_ranger.pictures import CYTASSIST, HIRES, LOWRES
from miso.samples.vendors.space_ranger.place import (
    COUNTS,
    POSITIONS,
    SCALE_FACTORS,
    Place,
    prefix_of,
    visible,
)

PICTURES = {
    HIRES: ("tissue_hires_image.png", "tissue_hires_image.jpg"),
    LOWRES: ("tissue_lowres_image.png", "tissue_lowres_image.jpg"),
    "detected tissue": ("detected_tissue_image.jpg",),
    "aligned fiducials": ("aligned_fiducials.jpg",),
    "aligned tissue": ("aligned_tissue_image.jpg",),
    CYTASSIST: ("cytassist_image.tiff", "cytassist_image.tif"),
}
SUMMARY = ("web_summary.html",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """One section of an aggregated run: its barcodes end in `-number`."""

    name: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceRangerFiles:
    """The files of one section.

    `counts` is None where there are none; `bin_um` is what the folder's name says, `library` which part of an
    aggregated run it is, and `others` are further files of positions that were not chosen.
    """

    name: str
    folder: Path
    spatial: Path
    positions: Path
    scale_factors: Path | None
    pictures: dict[str, Path]
    counts: Path | None
    summary: Path | None
    bin_um: float | None = None
    library: Library | None = None
    others: list[Path] = field(default_factory=list)


def find_files(place: Place, library: str = "") -> SpaceRangerFiles:
    """Find the files of a section, of one prefix (`GSM123_S1_…`) where they bear several.

    Raises
    ------
    SampleError
        If there are no positions, or files of several samples.
    """
    prefix, name = _choose_prefix(place, visible(place.spatial), library)
    positions = [path for key in POSITIONS if (path := pick(visible(place.spatial), prefix, (key,)))]
    return gather(place, name, prefix, positions)


def gather(
    place: Place, name: str, prefix: str, positions: list[Path], library: Library | None = None
) -> SpaceRangerFiles:
    """Gather what lies beside a section's positions and bears their prefix."""
    spatial, around = visible(place.spatial), visible(place.folder)
    return SpaceRangerFiles(
        name=name,
        folder=place.folder,
        spatial=place.spatial,
        positions=positions[0],
        scale_factors=pick(spatial, prefix, SCALE_FACTORS),
        pictures={role: path for role, keys in PICTURES.items() if (path := pick(spatial, prefix, keys))},
        counts=_find_counts(place.folder, around, prefix),
        summary=pick(around, prefix, SUMMARY),
        bin_um=place.bin_um,
        library=library,
        others=positions[1:],
    )


def _choose_prefix(place: Place, spatial: list[Path], library: str) -> tuple[str, str]:
    """Return the prefix of the section's files, and the section's name."""
    prefixes = sorted({prefix for path in spatial if (prefix := prefix_of(path, POSITIONS)) is not None})
    if not prefixes:
        raise SampleError(_no_positions(place))
    if "" in prefixes:
        return "", place.name
    names = {prefix.strip("_.-"): prefix for prefix in prefixes}
    if len(names) > 1 and library not in names:
        wrong = f"no sample {library!r}, but " if library else ""
        raise SampleError(
            f"{place.spatial} holds {wrong}files of {len(names)} samples ({shown(names, 8)}); "
            "choose one with --library"
        )
    chosen = library if len(names) > 1 else next(iter(names))
    return names[chosen], chosen if place.spatial == place.folder else place.name


def _no_positions(place: Place) -> str:
    counts = _find_any(place.folder, COUNTS)
    archives = ("spatial.tar.gz", "spatial.tar", "spatial.zip")
    packed = [path.name for path in visible(place.folder) if path.name.endswith(archives)]
    has = f"has counts ({counts.name}) but " if counts else "has "
    todo = (
        f"unpack {packed[0]}"
        if packed
        else "copy the 'spatial' folder of the same run into it"
        if counts
        else "pass the folder of a Space Ranger run"
    )
    return (
        f"{place.folder} {has}no spot positions (spatial/tissue_positions.csv, tissue_positions_list.csv or "
        f"tissue_positions.parquet); {todo}"
    )


def _find_any(folder: Path, keys: tuple[str, ...]) -> Path | None:
    return next((path for path in visible(folder) if prefix_of(path, keys) is not None), None)


def _find_counts(folder: Path, paths: list[Path], prefix: str) -> Path | None:
    for key in COUNTS:
        found = {p: path for path in paths if (p := prefix_of(path, (key,))) is not None}
        chosen = found.get(prefix, found.get(""))
        if chosen is None and len(found) == 1:
            chosen = next(iter(found.values()))
        if chosen is None and found:
            raise SampleError(
                f"{folder} holds {len(found)} matrices ({shown(path.name for path in found.values())}); "
                "which is that of the spots cannot be told: leave one"
            )
        if chosen is not None:
            return chosen
    return None


def pick(paths: list[Path], prefix: str, keys: tuple[str, ...]) -> Path | None:
    """Return the file of this prefix and the first of these names."""
    for key in keys:
        found = {p: path for path in paths if (p := prefix_of(path, (key,))) is not None}
        if prefix in found:
            return found[prefix]
    return None
