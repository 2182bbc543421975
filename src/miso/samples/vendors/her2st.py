"""The HER2ST layout: `count-matrices`, `images/HE` and `spot-selections`, joined by spot.

Dataset: Andersson et al., Nature Communications 2021; legacy Spatial Transcriptomics arrays, 200 µm pitch.
"""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata.utils import make_index_unique
from scipy.sparse import csr_matrix

from miso.errors import AlignmentError, SampleError
from miso.geometry import lattice_pitch_px
from miso.samples.spots import Spots
from miso.units import ST_PITCH_UM, ST_SPOT_DIAMETER_UM, Resolution

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
SELECTION_FOLDERS = ("spot-selections", "spot-selection")
POSITION_COLUMNS = ("x", "y", "pixel_x", "pixel_y")
REFINED_COLUMNS = ("new_x", "new_y")
"""Array positions with their printing error, where a file has them; x and y are whole and name the spot."""


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
    names = sorted(counts.keys() & images.keys() & selections.keys())
    if not names:
        raise SampleError(
            f"no section of {folder} has counts, an image and a spot selection; "
            f"counts: {', '.join(sorted(counts))}"
        )
    return [SectionFiles(name=n, counts=counts[n], selection=selections[n], image=images[n]) for n in names]


def _by_section(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    paths = sorted(
        path for path in folder.iterdir() if not path.name.startswith(".")
    )  # macOS leaves ._C2.tsv.gz
    pairs = [(path, suffix) for suffix in suffixes for path in paths if path.name.lower().endswith(suffix)]
    return {path.name[: -len(suffix)]: path for path, suffix in reversed(pairs)}  # the first suffix wins


def read_section(files: SectionFiles) -> tuple[Spots, Resolution]:
    """Read the spots of a section, and the image's resolution from their lattice.

    Spots without counts, and spots marked as not selected, are left out and noted.

    Raises
    ------
    SampleError
        If a table is damaged or lacks a column.
    AlignmentError
        If spots and counts share nothing, or the lattice has no pitch.
    """
    positions = _read_positions(files.selection)
    counts = _read_counts(files.counts)
    kept = positions.index.intersection(counts.index, sort=False)
    if kept.empty:
        raise AlignmentError(
            f"no spot of {files.selection.name!r} has counts in {files.counts.name!r} "
            f"(spots look like {positions.index[0]!r}, counts like {counts.index[0]!r})"
        )
    positions, matrix = positions.loc[kept], counts.loc[kept]
    spots = Spots(
        barcodes=list(kept),
        center_xy=positions[["pixel_x", "pixel_y"]].to_numpy(dtype=np.float64),
        array_xy=positions[["array_x", "array_y"]].to_numpy(dtype=np.float64),
        diameter_um=ST_SPOT_DIAMETER_UM,
        pitch_um=ST_PITCH_UM,
        counts=csr_matrix(matrix.to_numpy(dtype=np.float32)),
        genes=list(make_index_unique(pd.Index(matrix.columns.astype(str)))),
        notes=_left_out(positions.attrs["read"], positions.attrs["unselected"], len(kept), len(counts)),
    )
    return spots, _lattice_resolution(files.name, spots)


def _left_out(read: int, unselected: int, kept: int, counted: int) -> list[str]:
    selected = read - unselected
    notes = [
        (unselected, f"{unselected} of {read} spots are marked as not selected and were left out"),
        (selected - kept, f"{selected - kept} of {selected} selected spots have no counts and were dropped"),
        (
            counted - kept,
            f"{counted - kept} of {counted} rows of counts have no selected spot and were dropped",
        ),
    ]
    return [sentence for number, sentence in notes if number]


def _lattice_resolution(name: str, spots: Spots) -> Resolution:
    try:
        pitch_px = lattice_pitch_px(spots.array_xy, spots.center_xy)
    except ValueError as err:
        raise AlignmentError(f"section {name}: {err}, and a HER2ST image has no other resolution") from err
    return Resolution(mpp=spots.pitch_um / pitch_px, source=f"lattice pitch of {spots.pitch_um:g} µm")


def _read_positions(path: Path) -> pd.DataFrame:
    table = _read_table(path)
    missing = [column for column in POSITION_COLUMNS if column not in table.columns]
    if missing:
        raise SampleError(
            f"{path.name!r} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            "a HER2ST spot selection has x, y, pixel_x and pixel_y "
            f"(found: {', '.join(map(str, table.columns[:8]))})"
        )
    columns = [*POSITION_COLUMNS, *(column for column in REFINED_COLUMNS if column in table.columns)]
    numeric = table[columns].apply(pd.to_numeric, errors="coerce")
    bad = int((~np.isfinite(numeric.to_numpy(dtype=np.float64))).any(axis=1).sum())
    if bad or table.empty:
        raise SampleError(
            f"{path.name!r} has {f'{bad} rows without numbers' if bad else 'no rows'} in {', '.join(columns)}"
        )
    numeric["array_x"] = numeric.get("new_x", numeric["x"])
    numeric["array_y"] = numeric.get("new_y", numeric["y"])
    numeric.index = pd.Index([f"{x:.0f}x{y:.0f}" for x, y in zip(numeric["x"], numeric["y"], strict=True)])
    return _selected(path, numeric, table)


def _selected(path: Path, positions: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Keep the selected spots; `attrs` count what was read and left out."""
    selected = table["selected"] == 1 if "selected" in table else pd.Series(True, index=table.index)
    kept = positions[selected.to_numpy()]
    if kept.empty:
        raise SampleError(
            f"none of the {len(table)} spots of {path.name!r} is marked as selected (selected = 1)"
        )
    if kept.index.has_duplicates:
        raise SampleError(f"{path.name!r} names the spot {kept.index[kept.index.duplicated()][0]} twice")
    kept.attrs.update(read=len(table), unselected=int((~selected).sum()))
    return kept


def _read_counts(path: Path) -> pd.DataFrame:
    table = _read_table(path, index_col=0)
    if table.empty:
        raise SampleError(f"{path.name!r} holds no counts")
    if not all(kind.kind in "iuf" for kind in table.dtypes):
        raise SampleError(
            f"{path.name!r} holds something other than numbers; "
            "a count matrix has a row a spot, a column a gene"
        )
    values = table.to_numpy()
    if not np.isfinite(values).all() or (values < 0).any():
        raise SampleError(
            f"{path.name!r} holds negative or missing counts; is it normalised already, or cut off?"
        )
    table.index = table.index.astype(str)
    if table.index.has_duplicates:
        raise SampleError(f"{path.name!r} names the spot {table.index[table.index.duplicated()][0]} twice")
    return table


def _read_table(path: Path, index_col: int | None = None) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep="\t", index_col=index_col)
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError, pd.errors.ParserError) as err:
        raise SampleError(f"{path} is truncated or damaged ({err}); fetch it again") from err
    except pd.errors.EmptyDataError as err:
        raise SampleError(f"{path} is empty") from err
