"""How far a prediction lies from the measurement, per gene over the spots of one section."""

import numpy as np

from miso.scores.columns import Columns, PerGene, by_gene, quotient, varies


@by_gene
def rmse(predicted: Columns, measured: Columns) -> PerGene:
    """Root mean squared error of each gene, in the target's units."""
    return _rmse(predicted, measured)


@by_gene
def mae(predicted: Columns, measured: Columns) -> PerGene:
    """Mean absolute error of each gene, in the target's units."""
    return np.asarray(np.abs(predicted - measured).mean(axis=0))


@by_gene
def nrmse_range(predicted: Columns, measured: Columns) -> PerGene:
    """RMSE over the range (largest − smallest) of the measured values; NaN where these do not vary."""
    return quotient(_rmse(predicted, measured), np.ptp(measured, axis=0), varies(measured))


@by_gene
def nrmse_sd(predicted: Columns, measured: Columns) -> PerGene:
    """RMSE over the standard deviation of the measured values; NaN where these do not vary.

    The deviation has n − 1 below, as the benchmark's has: predicting the mean scores √((n − 1) / n).
    """
    spots = len(measured)
    if spots < 2:
        return np.full(measured.shape[1], np.nan)
    return quotient(_rmse(predicted, measured), measured.std(axis=0, ddof=1), varies(measured))


def _rmse(predicted: Columns, measured: Columns) -> PerGene:
    return np.asarray(np.sqrt(((predicted - measured) ** 2).mean(axis=0)))
