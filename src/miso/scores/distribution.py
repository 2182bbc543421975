"""Agreement of how a gene is spread over the spots of one section: divergence and information, 0 to 1.

Both follow the HER2ST benchmark (Wang C. et al., Nature Communications 2025) and its published scripts.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.special import xlogy

from miso.scores.by_gene import by_gene
from miso.scores.columns import Block, Columns, Genes, PerGene, quotient, varies

LEAST_BINS = 10
Bins = Int[NDArray[np.integer], "spot gene"]


@by_gene
def jensen_shannon(predicted: Block, measured: Block) -> PerGene:
    """Jensen–Shannon divergence, in bits, of two distributions over the spots: each side divided by its sum.

    Negative predictions count as 0, as in the benchmark. Chosen here: a side that sums to 0 is no
    distribution and gives NaN, where the benchmark takes it for the uniform one; so does a measurement
    below 0. It is the divergence; `scipy.spatial.distance.jensenshannon` is its square root.
    """
    p_sum, m_sum = predicted.of(_sum), measured.of(_sum)
    defined = (p_sum > 0) & (m_sum > 0) & measured.of(_never_negative)
    p, m = _shares(predicted.columns, p_sum), _shares(measured.columns, m_sum)
    nats = _nats((p + m) / 2) - (predicted.of(_nats_of_shares) + measured.of(_nats_of_shares)) / 2
    return np.where(defined, nats.clip(min=0) / np.log(2), np.nan)


@by_gene
def mutual_information(predicted: Block, measured: Block) -> PerGene:
    """Mutual information of binned values over the geometric mean of their entropies; NaN where one is 0.

    Bins hold equally many spots, as near as ties allow, and there are max(10, ∛n) of them, as in the
    benchmark. It is biased upwards: 10 × 10 bins of 180 spots share some information by chance, so read
    it beside the permutation floor.
    """
    spots, n_genes = measured.columns.shape
    bins = _bin_count(spots)
    genes = np.arange(n_genes) * bins**2
    at = genes + predicted.of(_bins).astype(np.int64) * bins + measured.of(_bins)
    joint = np.bincount(at.ravel(order="K"), minlength=n_genes * bins**2)
    share = joint.reshape(n_genes, bins, bins) / spots
    h_p, h_m = _entropy(share.sum(axis=2)), _entropy(share.sum(axis=1))
    shared = (h_p + h_m - _entropy(share.reshape(n_genes, -1))).clip(min=0)
    varying = predicted.of(varies) & measured.of(varies)
    return quotient(shared, np.sqrt(h_p * h_m), varying & (h_p * h_m > 0))


def equal_frequency_bins(values: Columns, bins: int) -> Bins:
    """Assign each gene's values to bins, from 0; equal values share the lowest bin that any would get.

    Bin i ends at the ⌈(i + 1) n / bins⌉-th smallest value. That ties stay together is the benchmark's way;
    which bins get the spots that n / bins leaves over is chosen here.
    """
    n = len(values)
    last = -(-np.arange(1, bins) * n // bins) - 1
    ends = np.sort(values, axis=0)[last]
    found = np.zeros_like(values, dtype=np.min_scalar_type(bins))
    for end in ends:
        found += values > end
    return found


def _bin_count(spots: int) -> int:
    return max(LEAST_BINS, int(np.cbrt(spots)))


def _bins(values: Columns) -> Bins:
    return equal_frequency_bins(values, _bin_count(len(values)))


def _entropy(share: Float[NDArray[np.float64], "gene *bin"]) -> PerGene:
    nats = -xlogy(share, share).sum(axis=tuple(range(1, share.ndim)))
    return np.asarray(nats.clip(min=0))


def _sum(values: Columns) -> PerGene:
    """Sum what is not negative."""
    return np.asarray(np.maximum(values, 0).sum(axis=0))


def _never_negative(values: Columns) -> Genes:
    return np.asarray((values >= 0).all(axis=0))


def _shares(values: Columns, total: PerGene) -> Columns:
    """Divide what is not negative by its sum; a gene without any is all 0."""
    return np.asarray(np.maximum(values, 0) / np.where(total > 0, total, 1.0))


def _nats(shares: Columns) -> PerGene:
    """Entropy of shares of the spots; as `_entropy`, and three times as fast where most are not 0."""
    return np.asarray(-(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=0))


def _nats_of_shares(values: Columns) -> PerGene:
    return _nats(_shares(values, _sum(values)))
