"""How well a gene could be predicted at all, counted as it was: its noise ceiling, 0 to 1."""

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from miso.errors import MisoError
from miso.scores.columns import PerGene, varies
from miso.scores.correlation import pearson

Values = Float[NDArray[np.float32], "spot gene"]
Total = Float[NDArray[np.float32], "spot 1"]
Molecules = Int[NDArray[np.int64], "spot gene"]


def noise_ceiling(
    counts: Float[NDArray[np.float32], "spot gene"],
    total: Float[NDArray[np.float32], " spot"],
    transform: Callable[[Values, Total], Values],
    *,
    draws: int = 10,
    seed: int = 0,
) -> PerGene:
    """Estimate the r that a perfect predictor of a gene's expected target would reach on one section.

    It is the square root of `reliability`. A reliability below 0 becomes a ceiling of 0: such a gene's two
    halves agree no better than chance, so nothing can be said to be predictable; to leave these genes out
    would keep just those whose noise happened to agree, and raise the mean over genes. A gene whose
    reliability is undefined stays NaN.

    Parameters
    ----------
    counts, total
        Molecules of the genes of interest, and of all genes measured, of each spot.
    transform
        Turns counts (spot × gene) and totals (spot × 1) into the target, as `Target.transform` does.

    Raises
    ------
    MisoError
        If counts are no whole numbers, or more than the spot's total.
    """
    found = reliability(counts, total, transform, draws=draws, seed=seed)
    return np.asarray(np.sqrt(found.clip(min=0)))


def reliability(
    counts: Float[NDArray[np.float32], "spot gene"],
    total: Float[NDArray[np.float32], " spot"],
    transform: Callable[[Values, Total], Values],
    *,
    draws: int = 10,
    seed: int = 0,
) -> PerGene:
    """Return the share of each gene's variance over the spots that is not counting noise, −∞ to 1.

    Every molecule falls to either half of the section with probability one half, which makes two independent
    measurements of half the depth where counts are Poisson (count splitting: Neufeld et al., Biostatistics
    2024). Each half becomes the target with its own totals, r is taken between the halves and averaged over
    the draws, and 2r / (1 + r) carries it to the full depth (Spearman 1910; Brown 1910). That last step is
    exact for targets that add up, such as counts, and an approximation for logarithms, which gain a little
    more from depth than it grants. A gene is NaN where it does not vary at full depth, or no draw gives
    both halves some variation.
    """
    molecules, others = _molecules(counts, total)
    rng = np.random.default_rng(seed)
    r = np.stack([_r_between_halves(molecules, others, transform, rng) for _ in range(draws)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of genes that are NaN in every draw
        mean = np.nanmean(r, axis=0)
    whole = transform(np.asarray(counts, dtype=np.float32), _total(molecules, others))
    mean[~varies(np.asarray(whole, dtype=np.float64))] = np.nan
    found: PerGene = np.divide(2 * mean, 1 + mean, out=np.full_like(mean, -np.inf), where=mean != -1)
    return found


def _r_between_halves(
    molecules: Molecules,
    others: Int[NDArray[np.int64], " spot"],
    transform: Callable[[Values, Total], Values],
    rng: np.random.Generator,
) -> PerGene:
    half = rng.binomial(molecules, 0.5)
    other = molecules - half
    rest = rng.binomial(others, 0.5)  # of genes that are not asked about, for the totals
    left = transform(half.astype(np.float32), _total(half, rest))
    return pearson(left, transform(other.astype(np.float32), _total(other, others - rest)))


def _total(half: Molecules, rest: Int[NDArray[np.int64], " spot"]) -> Total:
    return np.asarray((half.sum(axis=1) + rest)[:, None], dtype=np.float32)


def _molecules(
    counts: Float[NDArray[np.float32], "spot gene"], total: Float[NDArray[np.float32], " spot"]
) -> tuple[Molecules, Int[NDArray[np.int64], " spot"]]:
    """Return whole counts, and the molecules of each spot that are of other genes."""
    counts, total = np.asarray(counts), np.asarray(total).reshape(-1)
    for values in (counts, total):
        whole = np.isfinite(values) & (values >= 0) & (values == np.floor(values))
        if not whole.all():
            raise MisoError(
                f"a noise ceiling splits molecules, and {values[~whole].flat[0]:g} is no number of them; "
                "pass raw counts"
            )
    molecules = counts.astype(np.int64)
    others = total.astype(np.int64) - molecules.sum(axis=1)
    if (others < 0).any():
        spot = int((others < 0).argmax())
        raise MisoError(
            f"spot {spot} has {molecules[spot].sum()} molecules of these genes and {total[spot]:g} in all; "
            "pass each spot's total over all genes measured"
        )
    return molecules, others
