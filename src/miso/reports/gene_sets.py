"""Gene sets: all, a list, or chosen fold by fold on training sections, never on test counts."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy.typing import NDArray

from miso.errors import ConfigError
from miso.reports.boards import Board
from miso.samples import Sample
from miso.samples.genes import read_gene_list
from miso.samples.targets import dense_counts
from miso.scores.gene_sets import highly_variable, spatially_variable

DEFAULT = ("all", "hvg_30", "svg_40")
"""Those of the published figures."""
USUAL = {"hvg": 30, "svg": 40}
KINDS = {
    "hvg": "most variable beyond counting noise on the fold's training sections",
    "svg": "highest Moran's I on the fold's training sections",
}
APART = " in fold "
HEXAGON, SQUARE, EVEN = 6, 4, 1.2
"""Spots in the ring about a spot; in a hexagon the sixth is about as near as the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneSet:
    """A set of genes.

    Attributes
    ----------
    recipe
        In words, how it is chosen.
    by_fold
        Its genes in each fold.
    """

    name: str
    recipe: str
    by_fold: list[list[str]]

    @property
    def genes(self) -> list[str]:
        """Genes that are in it in some fold."""
        return list(dict.fromkeys(gene for fold in self.by_fold for gene in fold))

    @property
    def varies(self) -> bool:
        """Whether folds have sets of their own."""
        return any(set(genes) != set(self.by_fold[0]) for genes in self.by_fold)

    def pick(self, values: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a tidy table (columns fold and gene) that are of this set."""
        members = {fold: frozenset(genes) for fold, genes in enumerate(self.by_fold)}
        kept = [rows["gene"].isin(members[int(str(fold))]) for fold, rows in values.groupby("fold")]
        return values[pd.concat(kept).reindex(values.index)] if kept else values

    def pick_to_average(self, values: pd.DataFrame) -> pd.DataFrame:
        """Return those rows so that a gene counts in a mean over genes as often as folds chose it.

        Where folds have sets of their own, the gene's name gets the fold's number, so that the mean over
        genes is the mean over folds of each set's mean. Otherwise a gene that one fold alone chose would
        weigh as much as one that all chose.
        """
        rows = self.pick(values)
        return rows.assign(gene=rows["gene"] + APART + rows["fold"].astype(str)) if self.varies else rows

    def as_rows(self) -> pd.DataFrame:
        """Return one row a fold and gene, best first."""
        rows = [(self.name, fold, gene) for fold, genes in enumerate(self.by_fold) for gene in genes]
        return pd.DataFrame(rows, columns=["gene_set", "fold", "gene"])


def check_wanted(wanted: Sequence[str]) -> tuple[str, ...]:
    """Refuse a gene set that is no recipe and no file, before anything is opened; `hvg` becomes `hvg_30`.

    Raises
    ------
    ConfigError
        If one is unknown, or is asked for twice.
    """
    full = tuple(f"{name}_{USUAL[name]}" if name in USUAL else name for name in wanted) or DEFAULT
    for name in full:
        if name != "all" and not _counted(name) and not Path(name).is_file():
            raise ConfigError(
                f"no gene set {name!r}; give all, hvg_30, svg_40 (any number), or a file with a symbol a line"
            )
    titles = [plain(_title(name)) for name in full]
    if len(set(titles)) < len(titles):
        twice = next(title for title in titles if titles.count(title) > 1)
        raise ConfigError(f"the gene set {twice!r} is asked for twice")
    return full


def choose_gene_sets(board: Board, wanted: Sequence[str]) -> list[GeneSet]:
    """Make the gene sets that `check_wanted` let through, for a board's genes and folds."""
    if tuple(wanted) == DEFAULT and board.target.transform is None:
        wanted = DEFAULT[:1]  # the others are chosen by counts
    return [_choose(board, name) for name in wanted]


def _choose(board: Board, name: str) -> GeneSet:
    if name == "all":
        return GeneSet(name=name, recipe="every gene of the runs", by_fold=[board.genes] * len(board.folds))
    if counted := _counted(name):
        kind, n = counted
        _check_counted(board, name)
        trained_on = [[board.samples[sample] for sample in fold["train"]] for fold in board.folds]
        chosen = [CHOOSE[kind](samples, board.genes, n) for samples in trained_on]
        return GeneSet(name=name, recipe=f"{n} genes a fold, {KINDS[kind]}", by_fold=chosen)
    return _from_file(board, name)


def _check_counted(board: Board, name: str) -> None:
    measured = next(iter(board.samples.values())).adata.var_names
    others = [gene for gene in board.genes if gene not in measured]
    if others:
        raise ConfigError(
            f"{name} is chosen by counts, and {others[0]!r} of {board.name} has none; pass --gene-set all"
        )


def _from_file(board: Board, name: str) -> GeneSet:
    listed, known = read_gene_list(name), frozenset(board.genes)
    genes = [gene for gene in listed if gene in known]
    if not genes:
        raise ConfigError(
            f"no gene of {name} ({len(listed)}, first: {listed[0]!r}) is one of the runs' {len(known)}"
        )
    left = [gene for gene in listed if gene not in known]
    lacking = (
        f"; not among the runs' genes: {', '.join(left[:5])}{' …' if len(left) > 5 else ''}" if left else ""
    )
    recipe = f"{len(genes)} of {len(listed)} genes of {Path(name).name}{lacking}"
    return GeneSet(name=_title(name), recipe=recipe, by_fold=[genes] * len(board.folds))


def _highly_variable(samples: Sequence[Sample], genes: list[str], n: int) -> list[str]:
    counts, totals = zip(*_counts(samples, genes), strict=True)
    return highly_variable(counts, totals, genes, n)


def _spatially_variable(samples: Sequence[Sample], genes: list[str], n: int) -> list[str]:
    counts, totals = zip(*_counts(samples, genes), strict=True)
    return spatially_variable(counts, totals, [first_ring(sample) for sample in samples], genes, n)


CHOOSE: dict[str, Callable[[Sequence[Sample], list[str], int], list[str]]] = {
    "hvg": _highly_variable,
    "svg": _spatially_variable,
}


def first_ring(sample: Sample) -> Int[NDArray[np.int64], "spot k"]:
    """List each spot and the spots next to it: six on a hexagonal lattice, four on a square one."""
    near = sample.neighbors(1 + HEXAGON)
    at = sample.adata.obsm["spatial"]
    far = np.linalg.norm(at[near] - at[:, None], axis=-1)
    hexagonal = near.shape[1] <= SQUARE + 1 or np.median(far[:, -1] / far[:, 1]) < EVEN
    return near if hexagonal else near[:, : 1 + SQUARE]


def _counts(
    samples: Sequence[Sample], genes: list[str]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    for sample in samples:
        yield dense_counts(sample.adata, genes), total_counts(sample)


def total_counts(sample: Sample) -> NDArray[np.float32]:
    """Molecules of each spot, over all genes measured."""
    return np.asarray(sample.adata.X.sum(axis=1), dtype=np.float32).reshape(-1)


def _counted(name: str) -> tuple[str, int] | None:
    found = re.fullmatch(r"(hvg|svg)_([1-9]\d*)", name)
    return (found[1], int(found[2])) if found else None


def _title(name: str) -> str:
    stem = Path(name).stem
    return (
        name
        if name == "all" or _counted(name)
        else Path(name).name
        if stem == "all" or _counted(stem)
        else stem
    )


def plain(name: str) -> str:
    """Spell a set's name so that it is fit for a file's."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
