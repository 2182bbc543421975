"""How far a prediction lies from the measurement, per gene over the spots of one section."""

import numpy as np

from miso.scores.by_gene import by_gene
from miso.scores.columns import Block, Columns, PerGene, quotient, varies


@by_gene
def rmse(predicted: Block, measured: Block) -> PerGene:
    """Root mean squared error of each gene, in the target's units."""
    return _rmse(predicted, measured)


@by_gene
def mae(predicted: Block, measured: Block) -> PerGene:
    """Mean absolute error of each gene, in the target's units."""
    return np.asarray(np.abs(predicted.columns - measured.columns).mean(axis=0))


@by_gene
def nrmse_range(predicted: Block, measured: Block) -> PerGene:
    """RMSE over the range (largest − smallest) of the measured values; NaN where these do not vary."""
    return quotient(_rmse(predicted, measured), measured.of(_range), measured.of(varies))


@by_gene
def rmse_minmax(predicted: Block, measured: Block) -> PerGene:
    """RMSE with both sides between their own extremes, 0 to 1; NaN where either does not vary.

    Super-resolved maps are scored so, as their units need not be the truth's (iStar: Zhang D. et al., Nature
    Biotechnology 2024).
    """
    defined = predicted.of(varies) & measured.of(varies)
    p, m = (side.of(_between_extremes) for side in (predicted, measured))
    return np.where(defined, np.sqrt(((p - m) ** 2).mean(axis=0)), np.nan)


@by_gene
def nrmse_sd(predicted: Block, measured: Block) -> PerGene:
    """RMSE over the standard deviation of the measured values; NaN where these do not vary.

    The deviation has n − 1 below, as the benchmark's has: predicting the mean scores √((n − 1) / n).
    """
    if len(measured.columns) < 2:
        return np.full(measured.columns.shape[1], np.nan)
    return quotient(_rmse(predicted, measured), measured.of(_deviation), measured.of(varies))


def _rmse(predicted: Block, measured: Block) -> PerGene:
    return np.asarray(np.sqrt(((predicted.columns - measured.columns) ** 2).mean(axis=0)))


def _between_extremes(values: Columns) -> Columns:
    span = _range(values)
    return np.asarray((values - values.min(axis=0)) / np.where(span > 0, span, 1))


def _range(values: Columns) -> PerGene:
    return np.asarray(np.ptp(values, axis=0))


def _deviation(values: Columns) -> PerGene:
    return np.asarray(values.std(axis=0, ddof=1))
