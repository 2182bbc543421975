"""Penalty and shrinkage of each program, as they serve it best where spots are left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float, Int
from torch import Tensor

from miso.models.ridge import Moments, RidgePath

PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""In units of the inputs' total variance, times the number of spots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen for each program.

    Attributes
    ----------
    penalty, factor
        The number of the penalty, and what the prediction is multiplied by: 0 where nothing is proven.
    gained
        Error that all of them take off together, in units of programs.
    """

    penalty: Int[Tensor, " program"]
    factor: Float[Tensor, " program"]
    gained: float

    def of(self, weights: Float[Tensor, "penalty dim program"]) -> Float[Tensor, "dim program"]:
        """Pick from the weights for every penalty, and shrink."""
        return weights[self.penalty, :, torch.arange(len(self.penalty))].T * self.factor


def ridges(moments: Moments) -> Float[Tensor, "penalty dim program"]:
    """Weights for every penalty."""
    path = RidgePath(moments)
    total = max(path.variance, 1e-12)
    return torch.stack([path.weight(penalty * total) for penalty in PENALTIES])


def choose(
    left_out: Sequence[tuple[Float[Tensor, "penalty dim program"], Moments]],
    least: Float[Tensor, " program"],
) -> Choice:
    """For each program, the penalty and the factor in [0, 1] that leave the least error on what is left out.

    For values c, predictions p and a factor s that error is |c|² − 2 s p·c + s² |p|², least at p·c / |p|².
    A program that does not gain more than `least` gets the factor 0. (If p had nothing to do with c,
    p·c / |p| would have the variance of c.)
    """
    along = reduce(torch.add, ((w * moments.xy).sum(1) for w, moments in left_out))
    square = reduce(torch.add, ((w * (moments.xx @ w)).sum(1) for w, moments in left_out))
    factor, gained = best_factor(along, square)
    most, penalty = gained.max(0)
    proven = most > least
    best = factor.gather(0, penalty[None])[0]
    return Choice(penalty=penalty, factor=torch.where(proven, best, 0.0), gained=float(most[proven].sum()))


def best_factor(along: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factor in [0, 1] of predictions p that leaves the least error, and what it takes off it.

    `along` is p·c, `square` is |p|².
    """
    factor = (along / square.clamp(min=1e-12)).clamp(0, 1)
    return factor, 2 * factor * along - factor**2 * square
