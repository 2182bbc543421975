"""Structural similarity of two pictures of a gene, whose pixels are the spots of one section: −1 to 1."""

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from miso.scores.by_gene import by_gene
from miso.scores.columns import Block, Columns, PerGene, varies

BINS = 256
LUMINANCE, CONTRAST = (0.01 * (BINS - 1)) ** 2, (0.03 * (BINS - 1)) ** 2
"""The two constants of Wang Z. et al., IEEE Transactions on Image Processing 2004."""


@by_gene
def ssim(predicted: Block, measured: Block) -> PerGene:
    """Global SSIM of the two sides, each cut into 256 grey levels between its own extremes.

    One window over all spots, which is the HER2ST benchmark's (Wang C. et al., Nature Communications 2025);
    variances have n − 1 below. Neither scale nor offset of a side matters, nor where a spot lies. Chosen
    here: a side that does not vary has no grey levels and gives NaN, where the benchmark scores it close
    to 0; and a side is never divided by its largest value first, which changes nothing where that is
    positive and would turn the picture over where it is negative.
    """
    if len(measured.columns) < 2:
        return np.full(measured.columns.shape[1], np.nan)
    p, m = (side.of(_grey_levels).astype(np.float64) for side in (predicted, measured))
    p_mean, m_mean = p.mean(axis=0), m.mean(axis=0)
    p, m = p - p_mean, m - m_mean
    degrees = len(p) - 1
    covariance = (p * m).sum(axis=0) / degrees
    spread = ((p**2).sum(axis=0) + (m**2).sum(axis=0)) / degrees
    luminance = (2 * p_mean * m_mean + LUMINANCE) / (p_mean**2 + m_mean**2 + LUMINANCE)
    structure = (2 * covariance + CONTRAST) / (spread + CONTRAST)
    defined = predicted.of(varies) & measured.of(varies)
    return np.where(defined, luminance * structure, np.nan)


def _grey_levels(values: Columns) -> UInt8[NDArray[np.uint8], "spot gene"]:
    """Cut a gene's range into 256 equal intervals, from 0; a value on a border is in the lower one."""
    least, span = values.min(axis=0), np.ptp(values, axis=0)
    position = (values - least) * BINS / np.where(span > 0, span, 1)
    return np.asarray((np.ceil(position) - 1).clip(min=0, max=BINS - 1), dtype=np.uint8)
