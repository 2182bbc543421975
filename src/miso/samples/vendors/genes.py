"""Columns of a count matrix named by gene: symbols apart from Ensembl ids, and what becomes of doubles."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from miso.errors import SampleError
from miso.samples.vendors.section import DuplicateGenes
from miso.samples.vendors.space_ranger.features import GENE, Features, gene_columns

ID_COLUMNS = ("gene_ids", "gene_id", "ensembl_id", "ensembl", "ENSEMBL", "feature_id")
SYMBOL_COLUMNS = (
    "feature_name",
    "gene_name",
    "gene_names",
    "gene_symbol",
    "gene_symbols",
    "symbol",
    "SYMBOL",
)
"""What tools call these columns of `var`; the index holds the other kind of name."""
ENSEMBL_ID = re.compile(r"ENS[A-Z]{0,6}G\d{6,}(\.\d+)?")


def is_ensembl_id(name: str) -> bool:
    """Whether a name is an Ensembl gene id, of any species and with a version or without."""
    return ENSEMBL_ID.fullmatch(name) is not None


def mostly_ensembl_ids(names: Sequence[str]) -> bool:
    """Whether more than half of the names are Ensembl gene ids."""
    return bool(len(names)) and sum(map(is_ensembl_id, names)) > len(names) / 2


def check_names(names: Iterable[str], what: str, path: Path) -> None:
    """Refuse names that no file can hold again: control characters, halves of characters.

    Raises
    ------
    SampleError
        Naming the first.
    """
    odd = next((name for name in names if not name.isprintable()), None)
    if odd is not None:
        raise SampleError(f"{path} is damaged: it names a {what} {ascii(odd)[:40]}; fetch it again")


def symbols_and_ids(var: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Read gene symbols and ids from `var`; of what it does not say, symbols are ids and ids are empty."""
    index = [str(name) for name in var.index]
    if mostly_ensembl_ids(index):
        return _column(var, SYMBOL_COLUMNS) or index, index
    return index, _column(var, ID_COLUMNS)


def _column(var: pd.DataFrame, names: Sequence[str]) -> list[str]:
    found = next((name for name in names if name in var.columns), None)
    if found is None:
        return []
    return ["" if pd.isna(value) else str(value) for value in var[found]]


def name_genes(
    counts: csr_matrix, symbols: Sequence[str], ids: Sequence[str], duplicates: DuplicateGenes, path: Path
) -> tuple[csr_matrix, list[str], list[str], list[str]]:
    """Give every column a name of its own.

    Parameters
    ----------
    symbols, ids
        One a column; `ids` may be empty, and so may single symbols, whose id then takes their place.
    path
        The file, for messages.

    Returns
    -------
    Counts, genes, gene ids (empty if there are none), and notes.

    Raises
    ------
    SampleError
        If a name is damaged.
    """
    check_names(symbols, "gene", path)
    check_names(ids, "gene", path)
    width = counts.shape[1]
    features = Features(
        ids=np.array(list(ids) or [""] * width, dtype=object),
        symbols=np.array(list(symbols), dtype=object),
        types=np.full(width, GENE, dtype=object),
        genomes=np.full(width, "", dtype=object),
        passed=np.ones(width, dtype=bool),
    )
    columns = gene_columns(features, duplicates, path)
    kept = np.flatnonzero(columns.of >= 0)
    if len(kept) < width or not np.array_equal(columns.of, np.arange(width)):
        into = csr_matrix(
            (np.ones(len(kept), dtype=counts.dtype), (kept, columns.of[kept])),
            shape=(width, len(columns.names)),
        )
        counts = csr_matrix(counts @ into)
    return counts, columns.names, columns.ids if any(ids) else [], columns.notes
