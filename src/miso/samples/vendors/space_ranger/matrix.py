"""A 10x count matrix that is open but not read: who its rows and columns are, and the counts on demand."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from miso.errors import SampleError
from miso.samples.vendors.space_ranger.features import Columns, Features
from miso.samples.vendors.space_ranger.positions import check_unique

MAX_COUNT = 1e9
"""No spot has more molecules of a gene: what is larger is damage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Some of the counts: feature and barcode (from 0 on) and number of molecules."""

    barcode: Int[NDArray[np.int64], " entry"]
    feature: Int[NDArray[np.int64], " entry"]
    value: Float[NDArray[np.float64], " entry"]


class CountMatrix(ABC):
    """Barcodes, features and version of a matrix, and a way to its counts while the file is open."""

    by_barcode: ClassVar[bool]
    """Whether entries always come barcode by barcode."""

    def __init__(self, path: Path, barcodes: pa.Array, features: Features, version: str) -> None:
        self.path, self.barcodes, self.features, self.version = path, barcodes, features, version
        self.inputs = [path]
        if barcodes.null_count or not len(barcodes) or not len(features):
            raise SampleError(
                f"{path} holds {len(barcodes)} barcodes and {len(features)} features; is it cut?"
            )
        check_unique(path, barcodes)

    @abstractmethod
    def _n_entries(self, kept: Bool[NDArray[np.bool_], " barcode"]) -> int:
        """At most how many entries the kept barcodes have."""

    @abstractmethod
    def _entries(self, kept: Bool[NDArray[np.bool_], " barcode"]) -> Iterator[Entries]:
        """At least the entries of the kept barcodes, some at a time."""

    def read(self, kept: Bool[NDArray[np.bool_], " barcode"], columns: Columns) -> csr_matrix:
        """Read the counts of some barcodes, rows added up to columns: barcode × column, float32.

        Memory is that of the result and of a few million entries.

        Raises
        ------
        SampleError
            If the file is damaged or holds what is no count.
        """
        row_of = np.cumsum(kept) - 1
        capacity, filled = self._n_entries(kept), 0
        column, value = np.empty(capacity, dtype=np.int32), np.empty(capacity, dtype=np.float32)
        row = np.empty(0 if self.by_barcode else capacity, dtype=np.int32)
        per_row = np.zeros(int(kept.sum()), dtype=np.int64)
        for some in self._entries(kept):
            self._check(some)
            to = columns.of[some.feature]
            wanted = kept[some.barcode] & (to >= 0)
            rows = row_of[some.barcode[wanted]]
            part = slice(filled, filled + len(rows))
            column[part], value[part] = to[wanted], some.value[wanted]
            if not self.by_barcode:
                row[part] = rows
            per_row += np.bincount(rows, minlength=len(per_row))
            filled += len(rows)
        column, value, row = column[:filled], value[:filled], row[:filled]
        if (row[1:] < row[:-1]).any():
            order = np.argsort(row, kind="stable")
            column, value = column[order], value[order]
        starts = np.concatenate([[0], np.cumsum(per_row)])
        counts = csr_matrix((value, column, starts), shape=(len(per_row), len(columns.names)))
        counts.sum_duplicates()
        return counts

    def _check(self, some: Entries) -> None:
        for index, limit, what in (
            (some.feature, len(self.features), "features"),
            (some.barcode, len(self.barcodes), "barcodes"),
        ):
            if ((index < 0) | (index >= limit)).any():
                raise SampleError(
                    f"{self.path} is damaged: it counts something beyond its {limit} {what}; fetch it again"
                )
        if not ((some.value >= 0) & (some.value <= MAX_COUNT)).all():
            raise SampleError(
                f"{self.path} holds negative, missing or impossible counts; is it damaged, or normalised?"
            )
