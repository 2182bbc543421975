"""Genes worth a closer look: highly variable and spatially variable ones, chosen on the sections passed in.

Pass training sections only: a set chosen on the sections that are scored finds genes whose noise is
large. Nothing here is random, and equal scores are put in the order of the names.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from miso.errors import MisoError
from miso.scores.columns import PerGene

Counts = Float[NDArray[np.float32], "spot gene"]
Total = Float[NDArray[np.float32], " spot"]
Neighbors = Int[NDArray[np.int64], "spot k"]
OVERDISPERSION = 1 / 100
"""Of the null model's negative binomial: technical noise a little above Poisson's (Lause et al. 2021)."""


def highly_variable(
    sections: Sequence[Counts], totals: Sequence[Total], genes: list[str], n: int
) -> list[str]:
    """Choose the n genes that vary most beyond counting noise, the first one most; all if there are fewer.

    The score is the variance of analytic Pearson residuals, the mean over sections (Lause, Berens and
    Kobak, Genome Biology 2021): a null model expects a gene's share of the section's molecules times the
    spot's total, with a negative binomial's variance (θ = 100), and residuals are clipped at √spots. The
    HER2ST benchmark ranks by the excess over a mean–variance trend instead (scran's modelGeneVar, the upper
    tenth of the genes above it), on all sections, those that are scored among them.

    Parameters
    ----------
    sections, totals
        Counts of `genes` in each section, and each spot's total over all genes measured.

    Raises
    ------
    MisoError
        If the sections are none, or are not of these genes.
    """
    _check(sections, totals, genes)
    return _best(genes, n, [_residual_variance(*section) for section in zip(sections, totals, strict=True)])


def spatially_variable(
    sections: Sequence[Counts],
    totals: Sequence[Total],
    neighbors: Sequence[Neighbors],
    genes: list[str],
    n: int,
) -> list[str]:
    """Choose the n genes most alike in neighbouring spots, the first one most; all if there are fewer.

    The score is Moran's I of ln(1 + counts per 10,000), the mean over the sections where the gene varies
    (Moran, Biometrika 1950). A gene that varies nowhere comes last.

    Parameters
    ----------
    sections, totals
        Counts of `genes` in each section, and each spot's total over all genes measured.
    neighbors
        Of each section, indices of every spot's nearest spots; a spot in its own list is passed over.
        Six neighbours are one ring of a hexagonal lattice, four or eight one of a square one.

    Raises
    ------
    MisoError
        If the sections are none, or are not of these genes.
    """
    _check(sections, totals, genes)
    values = [np.log1p(_per_10k(*section)) for section in zip(sections, totals, strict=True)]
    return _best(genes, n, [morans_i(*section) for section in zip(values, neighbors, strict=True)])


def morans_i(values: Float[NDArray[np.float64], "spot gene"], neighbors: Neighbors) -> PerGene:
    """Moran's I of each gene: a listed neighbour weighs 1, a spot itself 0; NaN where a gene is constant."""
    z = np.asarray(values, dtype=np.float64)
    z = z - z.mean(axis=0)
    around, n_pairs = np.zeros_like(z), 0
    for neighbor in neighbors.T:
        other = neighbor != np.arange(len(z))
        around[other] += z[neighbor[other]]
        n_pairs += int(other.sum())
    spread = (z**2).sum(axis=0)
    result = np.full(z.shape[1], np.nan)
    varies = (np.ptp(values, axis=0) > 0) & (n_pairs > 0)
    np.divide((z * around).sum(axis=0) * len(z), spread * n_pairs, out=result, where=varies)
    return result


def _residual_variance(counts: Counts, total: Total) -> PerGene:
    found, depth = np.asarray(counts, dtype=np.float64), np.asarray(total, dtype=np.float64).reshape(-1, 1)
    expected = depth * found.sum(axis=0) / max(float(depth.sum()), 1.0)
    sd = np.sqrt(expected + OVERDISPERSION * expected**2)
    residual = np.divide(found - expected, sd, out=np.zeros_like(found), where=sd > 0)
    limit = np.sqrt(len(found))
    return np.asarray(residual.clip(-limit, limit).var(axis=0))


def _per_10k(counts: Counts, total: Total) -> Float[NDArray[np.float64], "spot gene"]:
    scale = np.maximum(np.asarray(total, dtype=np.float64).reshape(-1, 1), 1)
    return np.asarray(np.asarray(counts, dtype=np.float64) / scale * 1e4)


def _best(genes: list[str], n: int, scores: Sequence[PerGene]) -> list[str]:
    """Rank genes by their mean score over the sections where they have one, then by name."""
    stacked = np.stack(scores)
    defined = np.isfinite(stacked)
    total, of = np.where(defined, stacked, 0).sum(axis=0), defined.sum(axis=0)
    mean = np.where(of > 0, total / np.maximum(of, 1), -np.inf)
    ranked = sorted(zip((-mean).tolist(), genes, strict=True))
    return [gene for _, gene in ranked[: max(n, 0)]]


def _check(sections: Sequence[Counts], totals: Sequence[Total], genes: list[str]) -> None:
    if not sections:
        raise MisoError("a gene set is chosen on training sections, and there are none")
    for index, (counts, total) in enumerate(zip(sections, totals, strict=True)):
        if counts.shape != (np.size(total), len(genes)):
            raise MisoError(
                f"section {index} has counts of shape {counts.shape}, totals of {np.size(total)} spots and "
                f"{len(genes)} gene names; they belong to the same spots and genes"
            )
