"""Where Space Ranger says that spots lie: `tissue_positions` of any version, in level-0 pixels (x, y)."""

import csv
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.samples.vendors.files.damage import check_claim, open_text, refusing_damage, shown

COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
"""In the order of a file without a header."""
OTHER_NAMES = {
    "": "barcode",
    "barcodes": "barcode",
    "tissue": "in_tissue",
    "row": "array_row",
    "col": "array_col",
    "imagerow": "pxl_row_in_fullres",
    "imagecol": "pxl_col_in_fullres",
    "pxl_row": "pxl_row_in_fullres",
    "pxl_col": "pxl_col_in_fullres",
}
"""What tools that rewrite these files call the columns."""
MAX_PX, MAX_ARRAY = 1e7, 1e5
"""No image is wider, and no array longer: what lies beyond is no position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """Spots of a capture area, in and off the tissue.

    Attributes
    ----------
    path
        The file they were read from.
    barcodes
        Name of each spot, unique: an Arrow array of strings, since Visium HD has millions.
    in_tissue
        Whether Space Ranger found tissue under the spot.
    array_xy
        (column, row) on the array.
    center_xy
        Centres in level-0 pixels, the vendor's own numbers.
    """

    path: Path
    barcodes: pa.Array
    in_tissue: Bool[NDArray[np.bool_], " spot"]
    array_xy: Int[NDArray[np.int64], "spot 2"]
    center_xy: Float[NDArray[np.float64], "spot 2"]

    def __len__(self) -> int:
        return len(self.in_tissue)

    def take(self, index: Int[NDArray[np.int64], " some"] | Bool[NDArray[np.bool_], " spot"]) -> "Positions":
        """Take some of the spots, by index or mask."""
        at = np.flatnonzero(index) if index.dtype == np.bool_ else index
        return Positions(
            path=self.path,
            barcodes=self.barcodes.take(pa.array(at)),
            in_tissue=self.in_tissue[at],
            array_xy=self.array_xy[at],
            center_xy=self.center_xy[at],
        )


def read_positions(path: Path) -> Positions:
    """Read `tissue_positions_list.csv`, `tissue_positions.csv` (with a header or without) or `.parquet`.

    Raises
    ------
    SampleError
        If the file is damaged, lacks a column, or has rows that are no positions.
    """
    columns = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    if not len(columns["barcode"]):
        raise SampleError(f"{path} lists no spot; fetch it again")
    with refusing_damage(path):
        in_tissue, row, col = (_whole(columns[name]) for name in COLUMNS[1:4])
        center_xy = np.stack([_numbers(columns[COLUMNS[5]]), _numbers(columns[COLUMNS[4]])], axis=1)
        barcodes = columns["barcode"].cast(pa.string())
    _refuse_rows(path, (in_tissue != 0) & (in_tissue != 1), "in_tissue is neither 0 nor 1")
    for numbers in (row, col):
        _refuse_rows(path, ~((numbers >= 0) & (numbers < MAX_ARRAY)), "an array position is no whole number")
    _refuse_rows(path, np.asarray(~(np.abs(center_xy) < MAX_PX).all(axis=1)), "a pixel position is no number")
    if barcodes.null_count:
        raise SampleError(f"{path} is damaged: {barcodes.null_count} rows have no barcode; fetch it again")
    check_unique(path, barcodes)
    return Positions(
        path=path,
        barcodes=barcodes,
        in_tissue=in_tissue == 1,
        array_xy=np.stack([col, row], axis=1).astype(np.int64),
        center_xy=center_xy,
    )


def check_unique(path: Path, barcodes: pa.Array) -> None:
    """Refuse barcodes that occur twice.

    Raises
    ------
    SampleError
        Naming the first.
    """
    counted = barcodes.value_counts()
    if len(counted) < len(barcodes):
        twice = next(row["values"].as_py() for row in counted if row["counts"].as_py() > 1)
        raise SampleError(f"{path} names the barcode {twice!r} twice; is it two tables in one?")


def _read_parquet(path: Path) -> dict[str, pa.Array]:
    with refusing_damage(path), pq.ParquetFile(path) as file:
        check_claim(path, file.metadata.num_rows * 40, f"{file.metadata.num_rows:,} rows")
        _check_columns(path, file.schema_arrow.names)
        table = file.read(columns=list(COLUMNS), use_threads=False)
        table.validate(full=True)
        return {name: table.column(name).combine_chunks() for name in COLUMNS}


def _read_csv(path: Path) -> dict[str, pa.Array]:
    with refusing_damage(path), open_text(path) as file:
        first = file.readline()
        sep = max(",\t;", key=first.count)
        rows = [row for row in csv.reader(chain([first], file), delimiter=sep, strict=True) if row]
    names = list(COLUMNS)
    if rows and len(rows[0]) > 1 and not _is_number(rows[0][1]):
        names = [_known(name) for name in rows.pop(0)]
        _check_columns(path, names)
    at = [row for row in range(len(rows)) if len(rows[row]) != len(names)]
    if at:
        raise SampleError(
            f"{path} has {len(at)} rows (first: row {at[0] + 1}) of other than {len(names)} columns; "
            f"expected {', '.join(COLUMNS)}"
        )
    with refusing_damage(path):
        return {
            name: pa.array([row[names.index(name)] for row in rows], type=pa.string()) for name in COLUMNS
        }


def _known(name: str) -> str:
    plain = name.strip().lower()
    return OTHER_NAMES.get(plain, plain)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_columns(path: Path, names: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise SampleError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; Space Ranger writes "
            f"{', '.join(COLUMNS)} (found: {shown(names, 8)})"
        )


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    """Return a column as float64, to the last bit; what is no number becomes NaN."""
    try:
        numbers = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # some are no numbers
        numbers = pd.to_numeric(column.to_pandas(), errors="coerce")
    return np.asarray(numbers, dtype=np.float64)


def _whole(column: pa.Array) -> NDArray[np.float64]:
    """Return a column as float64; what is no whole number becomes NaN."""
    numbers = _numbers(column)
    return np.where(np.isfinite(numbers) & (numbers == np.round(numbers)), numbers, np.nan)


def _refuse_rows(path: Path, bad: NDArray[np.bool_], why: str) -> None:
    if bad.any():
        raise SampleError(
            f"{path} is damaged: in {int(bad.sum())} of {len(bad)} rows (first: row {int(bad.argmax()) + 1}) "
            f"{why}; fetch it again"
        )
