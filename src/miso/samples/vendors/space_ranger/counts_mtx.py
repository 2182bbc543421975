"""Count matrices as text: `matrix.mtx`, `features.tsv` (or `genes.tsv`) and `barcodes.tsv`, packed or not."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.samples.vendors.files.damage import check_claim, open_text, refusing_damage
from miso.samples.vendors.space_ranger.features import GENE, Features
from miso.samples.vendors.space_ranger.matrix import CountMatrix, Entries
from miso.samples.vendors.space_ranger.place import MATRIX
from miso.untrusted.documents import parse_json

AT_ONCE = 2**20
"""Entries that are read at a time."""
HEADER = re.compile(r"%%MatrixMarket\s+matrix\s+coordinate\s+(integer|real)\s+general\s*", re.IGNORECASE)


class MtxCounts(CountMatrix):
    """An open folder of text files; entries may come in any order."""

    by_barcode: ClassVar[bool] = False

    def __init__(self, path: Path, features: Path, barcodes: Path) -> None:
        self._skip, version, (n_features, n_barcodes, self._n) = _read_head(path)
        super().__init__(path, _read_column(barcodes), _read_features(features), version)
        self.inputs = [path, features, barcodes]
        if (n_features, n_barcodes) != (len(self.features), len(self.barcodes)):
            turned = (n_barcodes, n_features) == (len(self.features), len(self.barcodes))
            raise SampleError(
                f"{path} counts {n_features:,} features in {n_barcodes:,} barcodes, but {features.name!r} "
                f"names {len(self.features):,} and {barcodes.name!r} {len(self.barcodes):,}; "
                + ("it is transposed" if turned else "they are not of one run, or one is cut off")
            )

    def _n_entries(self, kept: Bool[NDArray[np.bool_], " barcode"]) -> int:
        return self._n

    def _entries(self, kept: Bool[NDArray[np.bool_], " barcode"]) -> Iterator[Entries]:
        left = self._n
        with refusing_damage(self.path), open_text(self.path) as file:
            for _ in range(self._skip):
                file.readline()
            for chunk in _chunks(file) if left else []:
                left -= len(chunk)
                if left < 0:
                    break
                if chunk["more"].notna().any():
                    raise SampleError(f"{self.path} is damaged: it has lines of other than three numbers")
                yield Entries(
                    feature=chunk["feature"].to_numpy() - 1,
                    barcode=chunk["barcode"].to_numpy() - 1,
                    value=chunk["value"].to_numpy(),
                )
        if left:
            raise SampleError(
                f"{self.path} announces {self._n:,} counts but holds {'more' if left < 0 else 'fewer'}; "
                "it is truncated or damaged, fetch it again"
            )


def _chunks(file: TextIO) -> Iterator[pd.DataFrame]:
    """Parse lines of feature, barcode and value, some at a time; `more` is what a line should not have."""
    return pd.read_csv(
        file,
        sep=r"\s+",
        header=None,
        names=["feature", "barcode", "value", "more"],
        dtype={"feature": "int64", "barcode": "int64", "value": "float64", "more": "str"},
        chunksize=AT_ONCE,
        index_col=False,
        quoting=csv.QUOTE_NONE,
    )


def open_mtx(path: Path) -> MtxCounts:
    """Open a folder that holds `matrix.mtx`, or such a file with the others (of the same prefix) beside it.

    Raises
    ------
    SampleError
        If a file is absent or damaged, or the three do not fit.
    """
    matrix = path if path.is_file() else _beside(path, "", (MATRIX,))
    prefix = matrix.name[: matrix.name.index(MATRIX)]
    return MtxCounts(
        matrix,
        features=_beside(matrix.parent, prefix, ("features.tsv", "genes.tsv")),
        barcodes=_beside(matrix.parent, prefix, ("barcodes.tsv",)),
    )


def _beside(folder: Path, prefix: str, names: tuple[str, ...]) -> Path:
    for name in names:
        for packed in (".gz", ""):
            if (folder / f"{prefix}{name}{packed}").is_file():
                return folder / f"{prefix}{name}{packed}"
    raise SampleError(
        f"{folder} has no {prefix}{names[0]}[.gz]; a count matrix is matrix.mtx, features.tsv "
        "and barcodes.tsv"
    )


def _read_head(path: Path) -> tuple[int, str, tuple[int, int, int]]:
    """Return the number of lines before the counts, the version, and (features, barcodes, counts)."""
    with refusing_damage(path), open_text(path) as file:
        if not HEADER.fullmatch(file.readline(200)):
            raise SampleError(f"{path} is no matrix of counts: its first line is not that of a .mtx file")
        skip, version, line = 1, "", file.readline(10_000)
        while line.startswith("%") or (line and not line.strip()):
            version = version or _version(line)
            skip, line = skip + 1, file.readline(10_000)
        numbers = [int(word) for word in line.split()]
    if len(numbers) != 3 or min(numbers) < 0 or max(numbers[:2]) >= 2**31:
        raise SampleError(f"{path} is damaged: {line[:60].strip()!r} is no shape of a matrix; fetch it again")
    check_claim(path, 6 * numbers[2], f"{numbers[2]:,} counts")  # '1 1 1' and the end of the line
    return skip + 1, version, (numbers[0], numbers[1], numbers[2])


def _version(line: str) -> str:
    if not line.startswith("%metadata_json:"):
        return ""
    try:
        said = parse_json(line.partition(":")[2]).get("software_version", "")
    except (ValueError, AttributeError):  # not worth refusing counts for
        return ""
    found = re.fullmatch(r"(?:spaceranger-)?(\d\.\d+(?:\.\d+)?)", str(said))
    return found[1] if found else ""


def _read_column(path: Path) -> pa.Array:
    with refusing_damage(path), open_text(path) as file:
        return pa.array([line.rstrip("\r\n").split("\t")[0] for line in file if line.strip()], pa.string())


def _read_features(path: Path) -> Features:
    """Read id, symbol and type of each row; without types (`genes.tsv`) all are genes."""
    with refusing_damage(path), open_text(path) as file:
        rows = [line.rstrip("\r\n").split("\t") for line in file if line.strip()]
    width = {len(row) for row in rows}
    if len(width) != 1:
        raise SampleError(
            f"{path} is damaged: its rows have {min(width, default=0)} to {max(width, default=0)} columns"
        )
    columns = np.asarray(rows, dtype=object).T
    empty = np.full(len(rows), "", dtype=object)
    return Features(
        ids=columns[0],
        symbols=columns[1] if len(columns) > 1 else columns[0],
        types=columns[2] if len(columns) > 2 else np.full(len(rows), GENE, dtype=object),
        genomes=empty,
        passed=np.ones(len(rows), dtype=bool),
    )
