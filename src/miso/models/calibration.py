"""How far a spot's measured value may lie from its prediction: conformal intervals, gene by gene."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import CheckpointError
from miso.models.residuals import SHARES, Residuals

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Shares of spots that intervals are made for."""
LEVEL = 0.9
FEWEST_SPOTS = 100
"""With fewer held-out spots there are no intervals."""
ROUNDS = 3
"""Times that the spread is fitted, each by the weights that the last one implies."""
LEAST = 0.01
"""Least variance, against the mean one of a gene: no prediction is certain."""
AT_ONCE = 4_000_000
"""Numbers of an array that are in float64 at a time."""

PerGene = Float[NDArray[np.float64], " gene"]
Values = Float[NDArray[np.floating[Any]], "*n"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """Half-widths of intervals about a prediction of a spot.

    A spot's measured value lies in mean ± half-width for a stated share of spots of new patients. The spread
    that an interval follows is s² = `base` + `slope` · max(mean, 0): counts are the noisier the more there
    are. Its factor is the conformal quantile of |measured - predicted| / s on sections held out.

    Attributes
    ----------
    base, slope
        In the target's units squared, and in its units; NaN for a gene that no held-out section measured.
    factors
        By the share of spots covered.
    spots, sections
        How many it was calibrated on.
    """

    genes: tuple[str, ...]
    base: PerGene
    slope: PerGene
    factors: Mapping[float, PerGene]
    spots: int
    sections: int

    def of(self, genes: Sequence[str]) -> Self:
        """Keep some genes, in their order."""
        index = [self.genes.index(gene) for gene in genes]
        return type(self)(
            genes=tuple(genes),
            base=self.base[index],
            slope=self.slope[index],
            factors={level: factor[index] for level, factor in self.factors.items()},
            spots=self.spots,
            sections=self.sections,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings; what is not known is null."""
        return {
            "genes": list(self.genes),
            "base": _plain(self.base),
            "slope": _plain(self.slope),
            "factors": {f"{level:g}": _plain(factor) for level, factor in self.factors.items()},
            "spots": self.spots,
            "sections": self.sections,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            Where it is something else.
        """
        genes = tuple(str(gene) for gene in data["genes"])
        factors = {float(level): _array(factor) for level, factor in data["factors"].items()}
        read = cls(
            genes=genes,
            base=_array(data["base"]),
            slope=_array(data["slope"]),
            factors=factors,
            spots=int(data["spots"]),
            sections=int(data["sections"]),
        )
        if any(len(column) != len(genes) for column in (read.base, read.slope, *factors.values())):
            raise ValueError(f"the calibration of {len(genes)} genes has columns of other lengths")
        return read


def half_width(
    calibration: Calibration, mean: Values, gene: int | slice, level: float = LEVEL
) -> Float[NDArray[np.float32], "*n"]:
    """Half the width of intervals about predictions of spots.

    Parameters
    ----------
    mean
        Predictions (means over a spot's disc), of one gene, or with `gene=slice(None)` genes last.
    gene
        Place in `calibration.genes`.
    level
        Share of spots that intervals cover: one of `LEVELS`.

    Returns
    -------
    In the units of the prediction; NaN where the mean is, or the gene is not calibrated.

    Raises
    ------
    CheckpointError
        If there are no intervals of that level.
    """
    if level not in calibration.factors:
        known = ", ".join(f"{each:g}" for each in calibration.factors)
        raise CheckpointError(f"no intervals that cover {level:g} of spots; there are those of {known}")
    variance = calibration.base[gene] + calibration.slope[gene] * np.maximum(mean, 0)
    return np.asarray(calibration.factors[level][gene] * np.sqrt(variance), dtype=np.float32)


def calibrate(residuals: Residuals | None, genes: Sequence[str]) -> Calibration | None:
    """Make intervals from what was missed on held-out sections; None where these have too few spots.

    The spread is fitted to squared residuals by least squares without negative coefficients, weighted by the
    variance that it implies itself (Carroll and Ruppert, 1982). The factor is the ⌈(n + 1) level⌉-th of the
    n scores (split conformal prediction: Vovk et al., 2005; with a spread, Lei et al., JASA 2018); scores of
    several folds are pooled (as in CV+, Barber et al., Annals of Statistics 2021), each section's with the
    weight of its spots.
    """
    of_each = (
        {} if residuals is None else dict(zip(residuals.sections, residuals.spots.tolist(), strict=True))
    )
    spots = sum(of_each.values())  # a section that two folds held out counts once
    if residuals is None or spots < FEWEST_SPOTS:
        return None
    found = np.concatenate([_of_genes(residuals, genes) for genes in _blocks(residuals)], axis=1)
    return Calibration(
        genes=tuple(genes),
        base=found[0],
        slope=found[1],
        factors=dict(zip(LEVELS, found[2:], strict=True)),
        spots=spots,
        sections=len(of_each),
    )


Points = Float[NDArray[np.float64], "point gene"]


def _blocks(residuals: Residuals) -> Iterator[slice]:
    """Cut the genes, so that all points of some are in memory."""
    sections, parts, levels, n_genes = residuals.missed.shape
    size = max(AT_ONCE // (sections * parts * levels), 1)
    return (slice(start, start + size) for start in range(0, n_genes, size))


def _of_genes(residuals: Residuals, genes: slice) -> Float[NDArray[np.float64], "row gene"]:
    """Return base, slope and the factor of each of `LEVELS` for some genes."""
    part = replace(residuals, mean=residuals.mean[..., genes], missed=residuals.missed[..., genes])
    base, slope = _spread(part)
    mean, missed, weight = _points(part)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = missed / np.sqrt(base + slope * np.maximum(mean, 0))
    scores[(missed == 0) & np.isnan(scores)] = 0  # a gene that is 0 throughout, and known to be
    return np.stack([base, slope, *_quantiles(scores, weight)])


def _points(residuals: Residuals) -> tuple[Points, Points, Float[NDArray[np.float64], "point 1"]]:
    """Return points that stand for spots: predictions, residuals, and for how many spots each stands."""
    _, parts, levels, n_genes = residuals.missed.shape
    mean = np.repeat(residuals.mean[:, :, None], levels, axis=2).reshape(-1, n_genes).astype(np.float64)
    missed = residuals.missed.reshape(-1, n_genes).astype(np.float64)
    weight = residuals.spots[:, None, None] / parts * np.array(SHARES)
    return mean, missed, np.broadcast_to(weight, residuals.missed.shape[:3]).reshape(-1, 1)


def _spread(residuals: Residuals) -> tuple[PerGene, PerGene]:
    """Fit base and slope of the variance to the mean squares of parts, neither below 0, gene by gene."""
    _, parts, levels, n_genes = residuals.missed.shape
    squared = residuals.missed.reshape(-1, levels, n_genes).astype(np.float64) ** 2
    x = np.maximum(residuals.mean.reshape(-1, n_genes).astype(np.float64), 0)
    y = np.einsum("plg,l->pg", squared, SHARES)
    weight = np.repeat(residuals.spots / parts, parts)[:, None]
    known = np.isfinite(x) & np.isfinite(y)
    x, y, w = np.where(known, x, 0), np.where(known, y, 0), np.where(known, weight, 0)
    total = w.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        typical = (w * y).sum(axis=0) / total
        scale = np.where(typical > 0, typical, 1)
        implied = np.ones_like(x)
        for _ in range(ROUNDS):
            base, slope = _two_nonnegative(x, y / scale, w / implied**2)
            implied = np.maximum(base + slope * x, LEAST)
        base, slope = np.maximum(base, LEAST) * scale, slope * scale
    absent = np.where(total > 0, 0.0, np.nan)
    return base + absent, slope + absent


def _two_nonnegative(x: Points, y: Points, w: Points) -> tuple[PerGene, PerGene]:
    """Fit y ≈ base + slope · x by weighted least squares, neither below 0: the best of the three cases."""
    s, sx, sxx, sy, sxy = (np.sum(w * each, axis=0) for each in (np.ones_like(x), x, x * x, y, x * y))
    determinant = s * sxx - sx**2
    flat = determinant <= 1e-12 * np.maximum(s * sxx, 1e-300)
    slope = np.where(flat, 0, (s * sxy - sx * sy) / np.where(flat, 1, determinant))
    base = (sy - slope * sx) / np.where(s > 0, s, 1)
    through_zero = np.where(sxx > 0, sxy / np.where(sxx > 0, sxx, 1), 0)
    base, slope = (
        np.where(slope < 0, sy / np.where(s > 0, s, 1), np.where(base < 0, 0, base)),
        np.where(slope < 0, 0, np.where(base < 0, through_zero, slope)),
    )
    return base, slope


def _quantiles(scores: Points, weight: Points) -> Float[NDArray[np.float64], "level gene"]:
    """Return weighted quantiles of each gene's scores, between points by a straight line; NaN without."""
    found = np.full((len(LEVELS), scores.shape[1]), np.nan)
    for gene in range(scores.shape[1]):
        known = np.isfinite(scores[:, gene])
        if not known.any():
            continue
        order = np.argsort(scores[known, gene])
        in_order, of_each = scores[known, gene][order], weight[known, 0][order]
        middle = (np.cumsum(of_each) - of_each / 2) / of_each.sum()
        found[:, gene] = np.interp(np.array(LEVELS) * (1 + 1 / of_each.sum()), middle, in_order)
    return found


def _plain(column: PerGene) -> list[float | None]:
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in column]


def _array(column: Sequence[float | None]) -> PerGene:
    return np.array([np.nan if value is None else float(value) for value in column], dtype=np.float64)
