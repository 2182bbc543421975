"""Tables of legacy Spatial Transcriptomics: where spots lie, in level-0 pixels, and what they count.

Both name a spot by its whole array position, `17x9`; a table is known by its columns, not by its file's name.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from miso.errors import SampleError
from miso.samples.vendors.files.damage import is_packed, open_bytes, open_text, refusing_damage
from miso.samples.vendors.scverse.whole_counts import MOST_MOLECULES

POSITION_COLUMNS = ("x", "y", "pixel_x", "pixel_y")
REFINED_COLUMNS = ("new_x", "new_y")
"""Array positions with their printing error, where a file has them; x and y are whole and name the spot."""
SPOT_NAME = re.compile(r"-?\d+(\.\d+)?x-?\d+(\.\d+)?")
HEAD_BYTES = 2**22
"""A header of 60,000 genes fits in."""

Kind = Literal["positions", "named positions", "counts", "transposed counts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first lines of a table: the cells of its header, and of its first row."""

    sep: str
    header: list[str]
    row: list[str]

    @property
    def names(self) -> list[str]:
        """Names of the columns beside the row names."""
        return self.header if len(self.header) < len(self.row) else self.header[1:]

    @property
    def kind(self) -> Kind | None:
        """What the table is, or None."""
        if all(column in self.header for column in POSITION_COLUMNS):
            return "positions"
        if len(self.row) >= 2 and SPOT_NAME.fullmatch(self.row[0]):
            named = [name.strip().lower() for name in self.names] == ["x", "y"]
            return "named positions" if named else "counts"
        if self.names and sum(bool(SPOT_NAME.fullmatch(name)) for name in self.names) > len(self.names) / 2:
            return "transposed counts"
        return None


def read_head(path: Path) -> Head:
    """Read the first two lines of a table, tab- or comma-separated.

    Raises
    ------
    SampleError
        If the file is no text, or empty.
    """
    with refusing_damage(path), open_text(path) as file:
        lines = [file.readline(HEAD_BYTES).rstrip("\r\n") for _ in range(2)]
    if not lines[0]:
        raise SampleError(f"{path} is empty")
    sep = "\t" if "\t" in lines[0] else ","
    header, row = ([cell.strip('"') for cell in line.split(sep)] for line in lines)
    return Head(sep=sep, header=header, row=row)


def read_st_positions(path: Path) -> pd.DataFrame:
    """Read selected spots: columns pixel_x, pixel_y, array_x, array_y, the index their names.

    `attrs` count the spots that were `read`, and those `unselected`.

    Raises
    ------
    SampleError
        If the table is damaged, lacks a column, holds something other than numbers, or names a spot twice.
    """
    table = read_table(path)
    missing = [column for column in POSITION_COLUMNS if column not in table.columns]
    if missing:
        raise SampleError(
            f"{path.name!r} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            "a spot selection has x, y, pixel_x and pixel_y "
            f"(found: {', '.join(f'{name!s:.30}' for name in table.columns[:8])})"
        )
    columns = [*POSITION_COLUMNS, *(column for column in REFINED_COLUMNS if column in table.columns)]
    numeric = _numbers(path, table, columns)
    numeric["array_x"] = numeric.get("new_x", numeric["x"])
    numeric["array_y"] = numeric.get("new_y", numeric["y"])
    numeric.index = pd.Index([f"{x:.0f}x{y:.0f}" for x, y in zip(numeric["x"], numeric["y"], strict=True)])
    return _selected(path, numeric, table)


def read_named_positions(path: Path) -> pd.DataFrame:
    """Read a table of spot names with two columns X and Y, their pixels; as `read_st_positions` does."""
    table = read_table(path, index_col=0)
    table.columns = pd.Index(["pixel_x", "pixel_y"])
    numeric = _numbers(path, table, ["pixel_x", "pixel_y"])
    unnamed = [name for name in numeric.index if not SPOT_NAME.fullmatch(str(name))]
    if unnamed:
        raise SampleError(f"{path.name!r} names a spot {unnamed[0]!s:.30}; spots are named like 17x9")
    array = [tuple(map(float, str(name).split("x"))) for name in numeric.index]
    numeric["array_x"], numeric["array_y"] = zip(*array, strict=True)
    return _selected(path, numeric, table)


def read_st_counts(path: Path, *, transposed: bool = False) -> pd.DataFrame:
    """Read counts: a row a spot, a column a gene, whose names may occur again.

    Raises
    ------
    SampleError
        If the table is damaged, or holds anything but counts.
    """
    table = read_table(path, index_col=0)
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
    if values.max() > MOST_MOLECULES:
        raise SampleError(f"{path.name!r} is damaged: it counts {values.max():.3g} molecules of one gene")
    names = read_head(path).names  # pandas numbers names that occur again
    table.columns = pd.Index(names if len(names) == table.shape[1] else table.columns.astype(str))
    table.index = table.index.astype(str)
    table = table.T if transposed else table
    if table.index.has_duplicates:
        raise SampleError(f"{path.name!r} names the spot {table.index[table.index.duplicated()][0]} twice")
    return table


def whole_names(names: pd.Index) -> pd.Index:
    """Name spots by the nearest whole position: pipelines write 17x9 as 16.92x9.00 too."""
    parts = [str(name).split("x") for name in names]
    return pd.Index(
        [
            f"{float(part[0]):.0f}x{float(part[1]):.0f}"
            if SPOT_NAME.fullmatch("x".join(part))
            else "x".join(part)
            for part in parts
        ]
    )


def what_was_left_out(read: int, unselected: int, kept: int, counted: int) -> list[str]:
    """Say how many spots and rows of counts found no partner."""
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


def read_table(path: Path, index_col: int | None = None) -> pd.DataFrame:
    """Read a tab- or comma-separated table, packed or not.

    Raises
    ------
    SampleError
        If it is damaged or empty.
    """
    with refusing_damage(path), open_bytes(path) as file:
        if path.suffix == ".gz" and path.stat().st_size and not is_packed(path):
            raise OSError("it is no gzip file")
        try:
            table: pd.DataFrame = pd.read_csv(
                file, sep=_separator(path), index_col=index_col, low_memory=False
            )
        except pd.errors.EmptyDataError as err:
            raise SampleError(f"{path} is empty") from err
    return table


def _separator(path: Path) -> str:
    try:
        return read_head(path).sep
    except SampleError:
        return "\t"  # reading it all says what is wrong


def _numbers(path: Path, table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    numeric: pd.DataFrame = table[columns].apply(pd.to_numeric, errors="coerce")
    bad = int((~np.isfinite(numeric.to_numpy(dtype=np.float64))).any(axis=1).sum())
    if bad or table.empty:
        raise SampleError(
            f"{path.name!r} has {f'{bad} rows without numbers' if bad else 'no rows'} in {', '.join(columns)}"
        )
    return numeric


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
