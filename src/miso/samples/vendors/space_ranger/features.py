"""The rows of a 10x count matrix (genes, probes, antibodies), and the column of a Sample each belongs to."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata.utils import make_index_unique
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.samples.vendors.files.damage import shown
from miso.samples.vendors.section import DuplicateGenes

GENE, PROTEIN = "Gene Expression", "Antibody Capture"
DEPRECATED = "DEPRECATED_"
"""Space Ranger's mark on probes and genes that its maker advises not to use."""

Names = NDArray[np.object_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Rows of a count matrix.

    Attributes
    ----------
    ids, symbols
        Ensembl (or antibody) id and symbol of each row; several probes have those of their gene.
    types
        `Gene Expression`, `Antibody Capture`, …
    genomes
        The reference that each row is of.
    passed
        Rows that Space Ranger itself would count: probes and genes of its filtered probe set.
    probes
        Whether a row is a probe, one of several of its gene.
    """

    ids: Names
    symbols: Names
    types: Names
    genomes: Names
    passed: Bool[NDArray[np.bool_], " feature"]
    probes: bool = False

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column each row of a count matrix is added to; −1 for rows that are left out."""

    of: Int[NDArray[np.int64], " feature"]
    names: list[str]
    ids: list[str]
    notes: list[str]


def gene_columns(features: Features, duplicates: DuplicateGenes, path: Path) -> Columns:
    """Choose the genes and their names.

    Probes are always summed to their gene (id); several genes of one symbol are summed or named apart.

    Raises
    ------
    SampleError
        If no row is a gene, or none is left.
    """
    genes = np.isin(features.types, (GENE, ""))
    if not genes.any():
        kinds = shown(sorted({str(kind) for kind in features.types}))
        raise SampleError(f"{path} counts no genes ({GENE!r}), only {kinds}")
    what = "probes" if features.probes else "genes"
    deprecated = genes & np.array([str(name).startswith(DEPRECATED) for name in features.ids], dtype=bool)
    unfit = genes & ~features.passed & ~deprecated
    kept = np.flatnonzero(genes & ~deprecated & ~unfit)
    if not len(kept):
        raise SampleError(f"{path} has {genes.sum()} {what}, all of them marked as deprecated or unfit")
    left_out = [
        f"{rows.sum()} of {genes.sum()} {what} {why} were left out"
        for rows, why in (
            (deprecated, "that Space Ranger marks as deprecated"),
            (unfit, "outside Space Ranger's filtered probe set"),
        )
        if rows.any()
    ]
    columns, names, ids, notes = _by_symbol(features, kept, duplicates)
    of = np.full(len(features), -1, dtype=np.int64)
    of[kept] = columns
    return Columns(of=of, names=names, ids=ids, notes=[*left_out, *_other_kinds(features), *notes])


def _by_symbol(
    features: Features, kept: NDArray[np.int64], duplicates: DuplicateGenes
) -> tuple[NDArray[np.int64], list[str], list[str], list[str]]:
    """Return the column of each kept row, the columns' names and ids, and notes."""
    ids, symbols, genomes = features.ids[kept], features.symbols[kept], features.genomes[kept]
    symbols = np.where(symbols == "", ids, symbols)
    rows = np.arange(len(kept)) if not features.probes else _group(genomes, ids)
    gene, first = np.unique(rows, return_index=True)
    notes = [f"{len(kept)} probes were summed to {len(gene)} genes"] if features.probes else []
    column = _group(genomes[first], symbols[first])
    n_columns = int(column.max()) + 1
    names = symbols[first][np.unique(column, return_index=True)[1]]
    several = int((np.bincount(column) > 1).sum())
    if several and duplicates == "sum":
        notes.append(
            f"symbols of several genes: {several}; the counts of each were summed "
            f"({len(gene)} genes make {n_columns})"
        )
    elif several:
        column, names = np.arange(len(gene)), symbols[first]
        notes.append(f"symbols of several genes: {several}; the genes of each are numbered (-1, -2, …)")
    joined: list[list[str]] = [[] for _ in names]
    for at, name in zip(column, ids[first], strict=True):
        joined[at].append(str(name))
    return column[rows], unique_names(names), [";".join(dict.fromkeys(all_ids)) for all_ids in joined], notes


def _group(genomes: Names, names: Names) -> NDArray[np.int64]:
    """Return a number for each pair of genome and name, from 0 on, as they first occur."""
    (genome, _), (name, known) = pd.factorize(genomes), pd.factorize(names)
    codes, _ = pd.factorize(genome * len(known) + name)
    return np.asarray(codes, dtype=np.int64)


def _other_kinds(features: Features) -> list[str]:
    genomes = sorted({str(genome) for genome in features.genomes} - {""})
    notes = [f"genes of {len(genomes)} genomes are kept: {shown(genomes)}"] if len(genomes) > 1 else []
    kinds = pd.Series(features.types).value_counts()
    return notes + [
        f"{n} features of the type {kind!r} were left out"
        for kind, n in kinds.items()
        if kind not in (GENE, PROTEIN, "")
    ]


def protein_columns(features: Features) -> Columns | None:
    """Choose the antibodies, or None if there is none; each keeps a column of its own."""
    rows = np.flatnonzero(features.types == PROTEIN)
    if not len(rows):
        return None
    of = np.full(len(features), -1, dtype=np.int64)
    of[rows] = np.arange(len(rows))
    ids, symbols = features.ids[rows], features.symbols[rows]
    names = unique_names(np.where(symbols == "", ids, symbols))
    return Columns(of=of, names=names, ids=[str(name) for name in ids], notes=[])


def unique_names(names: Names) -> list[str]:
    """Give names that occur again a number (`-1`, `-2`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # names that look numbered already: they stay apart
        return [str(name) for name in make_index_unique(pd.Index(names.astype(str), dtype=object))]
