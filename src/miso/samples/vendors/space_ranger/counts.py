"""Counts of Space Ranger, whatever file they are in: genes by symbol, proteins beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from miso.samples.vendors.section import DuplicateGenes
from miso.samples.vendors.space_ranger.counts_h5 import open_h5
from miso.samples.vendors.space_ranger.counts_mtx import open_mtx
from miso.samples.vendors.space_ranger.features import gene_columns, protein_columns
from miso.samples.vendors.space_ranger.matrix import CountMatrix
from miso.samples.vendors.space_ranger.place import MATRIX

AT_ONCE = 2**22
"""Counts that are looked at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Molecules, spot × gene, with the genes' symbols and ids, and the proteins of the same spots."""

    counts: csr_matrix
    genes: list[str]
    gene_ids: list[str]
    proteins: pd.DataFrame | None
    notes: list[str]


@contextmanager
def open_counts(path: Path) -> Iterator[CountMatrix]:
    """Open a count matrix: an `.h5` file, a `matrix.mtx`, or a folder with one.

    Raises
    ------
    SampleError
        If it is absent, damaged, or no count matrix.
    """
    if path.is_dir() or MATRIX in path.name:
        yield open_mtx(path)
    else:
        with open_h5(path, raw="raw_feature" in path.name) as counts:
            yield counts


def read_counts(
    matrix: CountMatrix, kept: Bool[NDArray[np.bool_], " barcode"], duplicates: DuplicateGenes
) -> Counts:
    """Read the counts of some barcodes: genes by symbol, antibodies into a table of their own.

    Raises
    ------
    SampleError
        If the file is damaged or counts no genes.
    """
    columns = gene_columns(matrix.features, duplicates, matrix.path)
    counts = matrix.read(kept, columns)
    antibodies = protein_columns(matrix.features)
    proteins = None
    if antibodies is not None:
        names = [name for name, keep in zip(matrix.barcodes.to_pylist(), kept, strict=True) if keep]
        dense = matrix.read(kept, antibodies).toarray()
        proteins = pd.DataFrame(dense, index=pd.Index(names, dtype=str), columns=antibodies.names)
    return Counts(
        counts=counts,
        genes=columns.names,
        gene_ids=columns.ids,
        proteins=proteins,
        notes=[*columns.notes, *_odd(counts)],
    )


def _odd(counts: csr_matrix) -> list[str]:
    """Word what is odd about counts that can still be used."""
    stretches = range(0, counts.nnz, AT_ONCE)
    whole = all(not np.mod(counts.data[at : at + AT_ONCE], 1).any() for at in stretches)
    empty = int((np.asarray(counts.sum(axis=1)).ravel() == 0).sum())
    return [
        *(
            []
            if whole
            else ["counts are not whole numbers: normalised already, or corrected for background?"]
        ),
        *([f"{empty} of {counts.shape[0]} spots have no molecule of any gene"] if empty else []),
    ]
