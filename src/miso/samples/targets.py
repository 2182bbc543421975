"""What is predicted, by name: a transform of counts, or a table of the Sample; units travel with values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anndata
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import CohortError
from miso.registry import Registry, unknown
from miso.samples.genes import Missing
from miso.samples.sample import Sample
from miso.samples.tables import open_table, table_names

Values = Float[NDArray[np.float32], "spot gene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A named target: its units, whether it can be negative, and how a spot's counts become it.

    `transform` takes (counts of the wanted genes, total counts of the spot over all genes); a target without
    one is the table of that name that every Sample has.
    """

    name: str
    units: str
    nonnegative: bool
    transform: Callable[[Values, Values], Values] | None


targets: Registry[Target] = Registry("target", "miso.targets", CohortError)


def _log1p_cp10k(counts: Values, total: Values) -> Values:
    values = counts / np.maximum(total, 1)
    values *= 1e4
    return np.log1p(values, out=values)


def _file(target: Target) -> None:
    targets.register(target.name)(target)


_file(Target(name="raw", units="counts per spot", nonnegative=True, transform=lambda counts, total: counts))
_file(
    Target(
        name="log1p",
        units="ln(1 + counts)",
        nonnegative=True,
        transform=lambda counts, total: np.log1p(counts),
    )
)
_file(
    Target(
        name="log1p_cp10k",
        units="ln(1 + counts per 10,000)",
        nonnegative=True,
        transform=_log1p_cp10k,
    )
)


def find_target(name: str, samples: Sequence[Sample]) -> Target:
    """Find a target: a transform of counts, or a table of that name that every Sample has.

    Raises
    ------
    CohortError
        If it is neither, or the tables have different units.
    """
    tables = sorted(set.intersection(*(set(table_names(sample)) for sample in samples)))
    if name not in tables:
        known = [*targets, *tables]
        if name not in known:
            raise CohortError(f"{unknown('target', name, known)} (of tables, those that every Sample has)")
        return targets[name]
    found = [_of_table(sample, name) for sample in samples]
    units = sorted({of for of, _ in found})
    if len(units) > 1:
        raise CohortError(f"the tables {name!r} have different units: {', '.join(units)}")
    return Target(name=name, units=units[0], nonnegative=all(least for _, least in found), transform=None)


def _of_table(sample: Sample, name: str) -> tuple[str, bool]:
    """Units of a table, and whether it is nowhere below 0."""
    with sample.briefly(whole=False):
        table = open_table(sample, name)
    return table.units, not (table.values.to_numpy() < 0).any()


def target_columns(sample: Sample, target: Target) -> list[str]:
    """Name what of a Sample can be predicted: its genes, or the columns of the target's table."""
    if target.transform is None:
        with sample.briefly(whole=False):
            return list(open_table(sample, target.name).values.columns)
    return sample.genes


def target_values(sample: Sample, target: Target, genes: list[str], missing: Missing = "error") -> Values:
    """Return a Sample's target, one row a spot; the columns follow `genes`.

    Those that the Sample lacks are NaN where `missing` is "mask", and otherwise an error.

    Counts are scaled by the spot's total over *all* genes measured, not over the panel. A table's
    columns are taken as they are.
    """
    if missing == "mask":
        return _masked(sample, target, genes)
    if target.transform is None:
        return open_table(sample, target.name).values[genes].to_numpy(dtype=np.float32)
    counts = dense_counts(sample.adata, genes)
    total = np.asarray(sample.adata.X.sum(axis=1), dtype=np.float32).reshape(-1, 1)
    return target.transform(counts, total).astype(np.float32, copy=False)


def _masked(sample: Sample, target: Target, genes: list[str]) -> Values:
    there = set(target_columns(sample, target))
    own = [gene for gene in genes if gene in there]
    values = np.full((len(sample.adata), len(genes)), np.nan, dtype=np.float32)
    values[:, [genes.index(gene) for gene in own]] = target_values(sample, target, own)
    return values


def dense_counts(adata: anndata.AnnData, genes: list[str]) -> Values:
    """Return the counts of some genes as a dense array.

    Raises
    ------
    CohortError
        If a gene was not measured.
    """
    columns = adata.var_names.get_indexer(genes)
    if (columns < 0).any():
        raise CohortError(f"the gene {genes[int((columns < 0).argmax())]!r} was not measured in this sample")
    every = len(columns) == adata.n_vars and bool((columns == np.arange(adata.n_vars)).all())
    counts = adata.X if every else adata.X[:, columns]  # to choose columns takes as long as the rest
    return np.asarray(counts.toarray(), dtype=np.float32)
