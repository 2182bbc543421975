"""Correlation of prediction and measurement, per gene over the spots of one section: −1 to 1."""

import numpy as np
from scipy.stats import rankdata

from miso.scores.columns import Columns, PerGene, Spots, by_gene, quotient, varies


@by_gene
def pearson(predicted: Columns, measured: Columns) -> PerGene:
    """Pearson's r of each gene over the spots of a section; NaN where either side does not vary."""
    return _correlation(predicted, measured, predicted, measured)


@by_gene
def spearman(predicted: Columns, measured: Columns) -> PerGene:
    """Pearson's r of the ranks, equal values at their mean rank; NaN where either side does not vary."""
    return _correlation(rankdata(predicted, axis=0), rankdata(measured, axis=0), predicted, measured)


def mean_pearson(predicted: Spots, measured: Spots) -> float:
    """Mean over genes of Pearson's r, undefined ones left out; 0 when all are, so that it can be compared."""
    r = pearson(predicted, measured)
    return float(np.nanmean(r)) if np.isfinite(r).any() else 0.0


def _correlation(p: Columns, m: Columns, predicted: Columns, measured: Columns) -> PerGene:
    """Correlate `p` and `m` where the values that they stand for vary."""
    p, m = p - p.mean(axis=0), m - m.mean(axis=0)
    norm = np.sqrt((p**2).sum(axis=0) * (m**2).sum(axis=0))
    return quotient((p * m).sum(axis=0), norm, varies(predicted) & varies(measured) & (norm > 0))
