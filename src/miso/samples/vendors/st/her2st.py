"""The HER2ST layout: `count-matrices`, `images/HE` and `spot-selections`, joined by spot.

Dataset: Andersson et al., Nature Communications 2021; legacy Spatial Transcriptomics arrays, 200 µm pitch.
"""

from dataclasses import dataclass
from pathlib import Path

from miso.errors import AlignmentError, SampleError
from miso.samples.vendors.section import VendorSection
from miso.samples.vendors.st.spots import join_st_spots, st_resolution
from miso.samples.vendors.st.tables import read_st_counts, read_st_positions

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
SELECTION_FOLDERS = ("spot-selections", "spot-selection")


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionFiles:
    """Where the three parts of one section lie."""

    name: str
    counts: Path
    selection: Path
    image: Path

    @property
    def patient(self) -> str:
        """A HER2ST section's patient is its letter."""
        return self.name[0]


def find_sections(folder: Path) -> list[SectionFiles]:
    """List the sections of a HER2ST folder, in name order.

    Raises
    ------
    SampleError
        If the folder is absent, or a part of every section is.
    """
    counts, images, selections = _parts(folder).values()
    names = sorted(counts.keys() & images.keys() & selections.keys())
    if not names:
        raise SampleError(
            f"no section of {folder} has counts, an image and a spot selection; "
            f"counts: {', '.join(sorted(counts))}"
        )
    return [SectionFiles(name=n, counts=counts[n], selection=selections[n], image=images[n]) for n in names]


def incomplete_sections(folder: Path) -> dict[str, list[str]]:
    """Name the parts that a section lacks, for each section that `find_sections` leaves out, in name order.

    Raises
    ------
    SampleError
        As `find_sections` does.
    """
    parts = _parts(folder)
    names = sorted(set().union(*parts.values()))
    lacking = {name: [part for part, found in parts.items() if name not in found] for name in names}
    return {name: missing for name, missing in lacking.items() if missing}


def _parts(folder: Path) -> dict[str, dict[str, Path]]:
    """Find counts, images and selections, each by the name of its section."""
    if not folder.is_dir():
        raise SampleError(f"no folder at {folder}; --path-dataset is the folder that holds 'count-matrices'")
    counts = _by_section(folder / "count-matrices", (".tsv.gz", ".tsv"))
    images = _by_section(folder / "images" / "HE", IMAGE_SUFFIXES)
    selections: dict[str, Path] = {}
    for name in SELECTION_FOLDERS:
        selections |= _by_section(folder / name, ("_selection.tsv.gz", "_selection.tsv"))
    for part, found in (
        ("count-matrices/*.tsv.gz", counts),
        ("images/HE/*.jpg", images),
        ("spot-selections/*.tsv.gz", selections),
    ):
        if not found:
            raise SampleError(f"{folder} is no HER2ST folder: it has no {part}")
    return {"counts": counts, "an image": images, "a spot selection": selections}


def _by_section(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    paths = sorted(
        path for path in folder.iterdir() if not path.name.startswith(".")
    )  # macOS leaves ._C2.tsv.gz
    pairs = [(path, suffix) for suffix in suffixes for path in paths if path.name.lower().endswith(suffix)]
    return {path.name[: -len(suffix)]: path for path, suffix in reversed(pairs)}  # the first suffix wins


def read_section(files: SectionFiles) -> VendorSection:
    """Read a section: its spots, its image, and the image's resolution from the lattice of the spots.

    Spots without counts, and spots marked as not selected, are left out and noted.

    Raises
    ------
    SampleError
        If a table is damaged or lacks a column.
    AlignmentError
        If spots and counts share nothing, or the lattice has no pitch.
    """
    positions, counts = read_st_positions(files.selection), read_st_counts(files.counts)
    spots = join_st_spots(positions, counts, (files.selection, files.counts), "unique")
    resolution = st_resolution(spots)
    if resolution is None:
        raise AlignmentError(
            f"section {files.name}: the lattice pitch needs at least three spots that are not on one line, "
            "and a HER2ST image has no other resolution"
        )
    return VendorSection(
        layout="HER2ST (legacy Spatial Transcriptomics)",
        name=files.name,
        spots=spots,
        resolutions=[resolution],
        image=files.image,
        inputs=[files.counts, files.selection, files.image],
    )
