"""Agreement of prediction and measurement, per gene over the spots of one section."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Spots = Float[NDArray[np.float32], "spot gene"]
PerGene = Float[NDArray[np.float64], " gene"]


def pearson(predicted: Spots, measured: Spots) -> PerGene:
    """Pearson's r of each gene over the spots of a section; NaN where either side does not vary."""
    p = np.asarray(predicted, dtype=np.float64)
    m = np.asarray(measured, dtype=np.float64)
    p, m = p - p.mean(0), m - m.mean(0)
    norm = np.sqrt((p**2).sum(0) * (m**2).sum(0))
    varies = (np.ptp(p, axis=0) > _noise(predicted)) & (np.ptp(m, axis=0) > _noise(measured))
    r = np.full(p.shape[1], np.nan)
    np.divide((p * m).sum(0), norm, out=r, where=varies & (norm > 0))
    return r


def _noise(values: Spots) -> PerGene:
    """Differences smaller than this are rounding, not variation."""
    largest: PerGene = np.abs(np.asarray(values, dtype=np.float64)).max(axis=0, initial=0.0)
    return 1e-6 * largest


def rmse(predicted: Spots, measured: Spots) -> PerGene:
    """Root mean squared error of each gene, in the target's units."""
    gap = np.asarray(predicted, dtype=np.float64) - np.asarray(measured, dtype=np.float64)
    return np.asarray(np.sqrt((gap**2).mean(0)))


def mean_pearson(predicted: Spots, measured: Spots) -> float:
    """Mean over genes of Pearson's r, undefined ones left out; 0 when all are, so that it can be compared."""
    r = pearson(predicted, measured)
    return float(np.nanmean(r)) if np.isfinite(r).any() else 0.0
