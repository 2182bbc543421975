"""Ridge on expression programs, each with a penalty of its own, chosen by leaving sections out.

Genes are noisy and many, what a slide shows of them is little and shared. The targets (each gene scaled to
spread 1) are turned into their principal components, the programs; each program is predicted by ridge with
the penalty and the shrinkage that serve it best on sections left out, and one that cannot be predicted is
left at its mean. Back in genes that is a low-rank linear map (reduced-rank regression; compare Izenman, 1975;
the choice by program is as in canonical-coordinate shrinkage, Breiman and Friedman, 1997).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from miso.models.neighborhood import in_halves
from miso.models.ridge import Linear
from miso.training.linear import Inputs
from miso.training.sections import Section

PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""In units of the inputs' total variance, times the number of spots."""
MOST_PROGRAMS = 128
LACKING = 0.1
"""Penalty on amounts of programs that genes not measured would have told, against 1 for a whole profile."""
PARTS = 5
"""Sections are left out in as many parts at most, those of a patient together."""
PIECES = 4
"""Of a lone section."""
ERRORS = 4.0
"""A program is predicted if that gains more than so many standard errors allow for by chance; near spots are
not independent, so two would let half of all programs through (benchmarks/choices.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFit:
    """What was fitted.

    Attributes
    ----------
    linear
        The map from inputs to genes.
    programs
        Genes of each program, the first with the greatest variance; in the target's units.
    missed
        By section, what each program's prediction misses where the section was left out.
    used
        How many programs are predicted at all.
    """

    linear: Linear
    programs: Float[Tensor, "program gene"]
    missed: list[Float[Tensor, "spot program"]]
    used: int


def fit_programs(sections: Sequence[Section], inputs: Inputs, errors: float = ERRORS) -> ProgramFit:
    """Fit to sections; levels that differ between them are not learnt from.

    Sections are left out in up to five parts, those of a patient together; a lone section is cut into four
    pieces that lie together, of which one is left out at a time. `errors` is how many standard errors what a
    program gains has to be above chance.
    """
    x, y = [inputs(s).cpu().double() for s in sections], [s.y.cpu().double() for s in sections]
    mean_x, mean_y = torch.cat(x).mean(0), torch.cat(y).nanmean(0).nan_to_num()
    x, y = [each - each.mean(0) for each in x], [(each - each.mean(0)).nan_to_num() for each in y]
    measured = torch.stack([s.measured.cpu() for s in sections]).double()
    spots = torch.tensor([float(len(each)) for each in y], dtype=torch.float64)
    degrees = (spots @ measured - 1).clamp(min=1)
    scale = (reduce(torch.add, (each.square().sum(0) for each in y)) / degrees).sqrt().clamp(min=1e-6)
    y = [each / scale for each in y]
    profiles = _principal_axes(y, (measured.T * spots) @ measured)[:MOST_PROGRAMS]
    values = [_programs(each, profiles, there.bool()) for each, there in zip(y, measured, strict=True)]
    if len(sections) > 1:
        fit = _fit(x, values, _parts(sections), errors)
        missed = fit.missed
    else:
        pieces = _pieces(sections[0])
        x, values = ([each[0][rows] for rows in pieces] for each in (x, values))
        fit = _fit(x, values, range(len(pieces)), errors)
        missed = [torch.cat(fit.missed)[torch.cat(pieces).argsort()]]
    weight = fit.weight @ (profiles * scale)
    return ProgramFit(
        linear=Linear(weight=weight.float(), bias=(mean_y - mean_x @ weight).float()),
        programs=(profiles * scale).float(),
        missed=[each.float() for each in missed],
        used=int((fit.weight.abs().sum(0) > 0).sum()),
    )


def _principal_axes(
    values: Sequence[Float[Tensor, "spot gene"]], together: Float[Tensor, "gene gene"]
) -> Float[Tensor, "program gene"]:
    """Principal axes of centred values, the greatest variance first.

    Two genes covary over the spots that measured them `together`; where one was not measured, values are 0.
    """
    covariance = reduce(torch.add, (each.T @ each for each in values)) / together.clamp(min=1)
    _, axes = torch.linalg.eigh(covariance)
    most = min(sum(map(len, values)), axes.shape[1])
    principal: Tensor = axes.flip(1)[:, :most].T
    return principal


def _programs(
    values: Float[Tensor, "spot gene"],
    profiles: Float[Tensor, "program gene"],
    measured: Bool[Tensor, " gene"],
) -> Float[Tensor, "spot program"]:
    """Amounts of programs in each spot: by projection, or where genes lack, the likeliest by the rest."""
    if measured.all():
        return values @ profiles.T
    seen = profiles[:, measured]
    gram = seen @ seen.T + LACKING * torch.eye(len(seen), dtype=seen.dtype)
    amounts: Tensor = torch.linalg.solve(gram, seen @ values[:, measured].T).T
    return amounts


def _parts(sections: Sequence[Section]) -> list[int]:
    """Give each section the number of its part: by patients where there are two, else by sections."""
    patients = [section.patient or section.name for section in sections]
    names = patients if len(set(patients)) > 1 else [section.name for section in sections]
    number = {name: i % PARTS for i, name in enumerate(dict.fromkeys(names))}
    return [number[name] for name in names]


def _pieces(section: Section) -> list[Int[Tensor, " spot"]]:
    positions = section.center_um.cpu().double().numpy()
    size = -(-len(positions) // PIECES)
    return list(torch.split(torch.from_numpy(in_halves(positions, size)), size))


# ---- ridge on all programs at once


@dataclass(frozen=True, slots=True)
class _Fit:
    """Weights of each program, 0 for one that cannot be predicted; what they miss where it is left out."""

    weight: Float[Tensor, "dim program"]
    missed: list[Float[Tensor, "spot program"]]


@dataclass(frozen=True, slots=True)
class _Moments:
    """Second moments of inputs and values over some spots: all that ridge needs to know of them."""

    xx: Float[Tensor, "dim dim"]
    xc: Float[Tensor, "dim program"]
    spots: int

    @classmethod
    def of(cls, x: Tensor, c: Tensor) -> "_Moments":
        return cls(x.T @ x, x.T @ c, len(x))

    def __add__(self, other: "_Moments") -> "_Moments":
        return _Moments(self.xx + other.xx, self.xc + other.xc, self.spots + other.spots)

    def __sub__(self, other: "_Moments") -> "_Moments":
        return _Moments(self.xx - other.xx, self.xc - other.xc, self.spots - other.spots)

    def ridge(self) -> Float[Tensor, "penalty dim program"]:
        """Weights for every penalty."""
        variances, axes = torch.linalg.eigh(self.xx)
        variances, turned = variances.clamp(min=0), axes.T @ self.xc
        total = variances.sum().clamp(min=1e-12)
        return torch.stack([axes @ (turned / (variances + p * total)[:, None]) for p in PENALTIES])


def _fit(
    x: Sequence[Float[Tensor, "spot dim"]],
    c: Sequence[Float[Tensor, "spot program"]],
    parts: Sequence[int],
    errors: float,
) -> _Fit:
    turn = _row_space(x)
    x = [each @ turn for each in x]
    out: dict[int, _Moments] = {}
    for part, each, values in zip(parts, x, c, strict=True):
        moments = _Moments.of(each, values)
        out[part] = out[part] + moments if part in out else moments
    whole = reduce(_Moments.__add__, out.values())
    weights = {part: (whole - moments).ridge() for part, moments in out.items()}
    left_out = [(weights[part], moments) for part, moments in out.items()]
    penalty, factor = _choose(left_out, errors**2 * torch.cat(list(c)).var(0))
    missed = [
        values - each @ _of_choice(weights[part], penalty, factor)
        for part, each, values in zip(parts, x, c, strict=True)
    ]
    return _Fit(weight=turn @ _of_choice(whole.ridge(), penalty, factor), missed=missed)


def _choose(
    left_out: Sequence[tuple[Float[Tensor, "penalty dim program"], _Moments]],
    least: Float[Tensor, " program"],
) -> tuple[Int[Tensor, " program"], Float[Tensor, " program"]]:
    """For each program, the penalty and the factor in [0, 1] that leave the least error on what is left out.

    For values c, predictions p and a factor s that error is |c|² − 2 s p·c + s² |p|², least at p·c / |p|².
    A program that does not gain more than `least` gets the factor 0. (If p had nothing to do with c,
    p·c / |p| would have the variance of c.)
    """
    along = reduce(torch.add, ((w * moments.xc).sum(1) for w, moments in left_out))
    square = reduce(torch.add, ((w * (moments.xx @ w)).sum(1) for w, moments in left_out))
    factor = (along / square.clamp(min=1e-12)).clamp(0, 1)
    gained, penalty = (2 * factor * along - factor**2 * square).max(0)
    best = factor.gather(0, penalty[None])[0]
    return penalty, torch.where(gained > least, best, 0.0)


def _of_choice(
    weights: Float[Tensor, "penalty dim program"],
    penalty: Int[Tensor, " program"],
    factor: Float[Tensor, " program"],
) -> Float[Tensor, "dim program"]:
    return weights[penalty, :, torch.arange(len(penalty))].T * factor


def _row_space(x: Sequence[Float[Tensor, "spot dim"]]) -> Float[Tensor, "dim less"]:
    """Return an orthonormal basis of what the inputs span: fewer spots than dimensions are no more work."""
    together = torch.cat(list(x))
    spots, dim = together.shape
    if spots >= dim:
        return torch.eye(dim, dtype=together.dtype)
    basis: Tensor = torch.linalg.qr(together.T).Q
    return basis
