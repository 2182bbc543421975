"""Correlation of prediction and measurement, per gene over the spots of one section: −1 to 1."""

import numpy as np

from miso.scores.by_gene import by_gene
from miso.scores.columns import Block, Columns, Measured, PerGene, Spots, quotient, varies
from miso.scores.ranks import ranks


@by_gene
def pearson(predicted: Block, measured: Block) -> PerGene:
    """Pearson's r of each gene over the spots of a section; NaN where either side does not vary."""
    p, m = (side.columns - side.columns.mean(axis=0) for side in (predicted, measured))
    return _correlation(p, m, predicted, measured)


@by_gene
def spearman(predicted: Block, measured: Block) -> PerGene:
    """Pearson's r of the ranks, equal values at their mean rank; NaN where either side does not vary."""
    middle = (len(predicted.columns) + 1) / 2
    p, m = (side.of(ranks).astype(np.float64) - middle for side in (predicted, measured))
    return _correlation(p, m, predicted, measured)


def mean_pearson(predicted: Spots, measured: Spots | Measured) -> float:
    """Mean over genes of Pearson's r, undefined ones left out; 0 when all are, so that it can be compared."""
    r = pearson(predicted, measured)
    return float(np.nanmean(r)) if np.isfinite(r).any() else 0.0


def _correlation(p: Columns, m: Columns, predicted: Block, measured: Block) -> PerGene:
    """Correlate `p` and `m`, of mean 0, where the values that they stand for vary."""
    norm = np.sqrt((p**2).sum(axis=0) * (m**2).sum(axis=0))
    return quotient((p * m).sum(axis=0), norm, predicted.of(varies) & measured.of(varies) & (norm > 0))
