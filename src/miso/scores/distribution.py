"""Agreement of how a gene is spread over the spots of one section: divergence and information, 0 to 1.

Both follow the HER2ST benchmark (Wang C. et al., Nature Communications 2025) and its published scripts.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.special import rel_entr, xlogy

from miso.scores.columns import Columns, PerGene, by_gene, quotient, varies

LEAST_BINS = 10


@by_gene
def jensen_shannon(predicted: Columns, measured: Columns) -> PerGene:
    """Jensen–Shannon divergence, in bits, of two distributions over the spots: each side divided by its sum.

    Negative predictions count as 0, as in the benchmark. Chosen here: a side that sums to 0 is no
    distribution and gives NaN, where the benchmark takes it for the uniform one; so does a measurement
    below 0. It is the divergence; `scipy.spatial.distance.jensenshannon` is its square root.
    """
    p, m = predicted.clip(min=0), measured.clip(min=0)
    p_sum, m_sum = p.sum(axis=0), m.sum(axis=0)
    defined = (p_sum > 0) & (m_sum > 0) & (measured >= 0).all(axis=0)
    p, m = (x / np.where(defined, total, 1.0) for x, total in ((p, p_sum), (m, m_sum)))
    middle = (p + m) / 2
    nats = (rel_entr(p, middle).sum(axis=0) + rel_entr(m, middle).sum(axis=0)) / 2
    return np.where(defined, nats / np.log(2), np.nan)


@by_gene
def mutual_information(predicted: Columns, measured: Columns) -> PerGene:
    """Mutual information of binned values over the geometric mean of their entropies; NaN where one is 0.

    Bins hold equally many spots, as near as ties allow, and there are max(10, ∛n) of them, as in the
    benchmark. It is biased upwards: 10 × 10 bins of 180 spots share some information by chance, so read
    it beside the permutation floor.
    """
    bins = max(LEAST_BINS, int(np.cbrt(len(measured))))
    p, m = equal_frequency_bins(predicted, bins), equal_frequency_bins(measured, bins)
    genes = np.arange(measured.shape[1]) * bins**2
    joint = np.bincount((genes + p * bins + m).ravel(), minlength=len(genes) * bins**2)
    share = joint.reshape(len(genes), bins, bins) / len(measured)
    h_p, h_m = _entropy(share.sum(axis=2)), _entropy(share.sum(axis=1))
    shared = (h_p + h_m - _entropy(share.reshape(len(genes), -1))).clip(min=0)
    return quotient(shared, np.sqrt(h_p * h_m), varies(predicted) & varies(measured) & (h_p * h_m > 0))


def equal_frequency_bins(values: Columns, bins: int) -> Int[NDArray[np.int64], "spot gene"]:
    """Assign each gene's values to bins, from 0; equal values share the lowest bin that any would get.

    Bin i ends at the ⌈(i + 1) n / bins⌉-th smallest value. That ties stay together is the benchmark's way;
    which bins get the spots that n / bins leaves over is chosen here.
    """
    n = len(values)
    last = -(-np.arange(1, bins) * n // bins) - 1
    ends = np.sort(values, axis=0)[last]
    found = np.zeros(values.shape, dtype=np.int64)
    for end in ends:
        found += values > end
    return found


def _entropy(share: Float[NDArray[np.float64], "gene *bin"]) -> PerGene:
    nats = -xlogy(share, share).sum(axis=tuple(range(1, share.ndim)))
    return np.asarray(nats.clip(min=0))
