"""What is predicted, by name: a transform of counts, or a table of the Sample; units travel with values."""

from collections.abc import Callable
from dataclasses import dataclass

import anndata
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import CohortError
from miso.registry import Registry
from miso.samples.sample import Sample

Values = Float[NDArray[np.float32], "spot gene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A named target: its units, whether it can be negative, and how a spot's counts become it.

    `transform` takes (counts of the wanted genes, total counts of the spot over all genes).
    """

    name: str
    units: str
    nonnegative: bool
    transform: Callable[[Values, Values], Values]


targets: Registry[Target] = Registry("target", "miso.targets", CohortError)


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
        transform=lambda counts, total: np.log1p(counts / np.maximum(total, 1) * 1e4),
    )
)


def target_values(sample: Sample, target: Target, genes: list[str]) -> Values:
    """Return a Sample's target, one row a spot; the columns follow `genes`, all of which it must have.

    Counts are scaled by the spot's total over *all* genes measured, not over the panel.
    """
    counts = dense_counts(sample.adata, genes)
    total = np.asarray(sample.adata.X.sum(axis=1), dtype=np.float32).reshape(-1, 1)
    return target.transform(counts, total).astype(np.float32)


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
    return np.asarray(adata.X[:, columns].toarray(), dtype=np.float32)
