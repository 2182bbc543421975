"""Ridge on expression programs, each with a penalty of its own, chosen by leaving sections out.

Genes are noisy and many, what a slide shows of them is little and shared. The targets (each gene scaled to
spread 1) are turned into their principal components, the programs; each program is predicted by ridge with
the penalty and the shrinkage that serve it best on sections left out, and one that cannot be predicted is
left at its mean. Whether the surroundings are looked at is chosen in the same way, for all programs at once.
Back in genes that is a low-rank linear map (reduced-rank regression; compare Izenman, 1975; the choice by
program is as in canonical-coordinate shrinkage, Breiman and Friedman, 1997). Sections are passed over a few
times, and what is kept does not grow with their number.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from miso.models.neighborhood import in_halves
from miso.models.ridge import Linear, Moments
from miso.training.levels import Levels, levels_of
from miso.training.linear import Inputs
from miso.training.principal_axes import principal_axes
from miso.training.sections import Section, names_and_patients
from miso.training.shrinkage import choose, ridges

MOST_PROGRAMS = 128
LACKING = 0.1
"""Penalty on amounts of programs that genes not measured would have told, against 1 for a whole profile."""
AT_ONCE = 16_384
"""Spots whose inputs are in float64 at a time."""
PARTS = 5
"""Sections are left out in as many parts at most."""
PIECES = 4
"""Of a lone section."""
ERRORS = 4.0
"""A program is predicted if that gains more than so many standard errors allow for by chance; near spots are
not independent, so two would let half of all programs through (benchmarks/choices.py)."""
SHARE = 0.1
"""Or if it explains so much of the program: of a few dozen spots nothing could be surer than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFit:
    """What was fitted.

    Attributes
    ----------
    weight
        From inputs to programs; 0 for one that cannot be predicted.
    programs
        Genes of each program, the first with the greatest variance; in the target's units.
    bias
        What a gene is where the inputs are 0.
    missed
        What each program's prediction misses where a section was left out, NaN in spots without a value;
        takes the section's place in the sequence and the section.
    used
        How many programs are predicted at all.
    sight
        How many of the inputs they are predicted from, the first ones.
    """

    weight: Float[Tensor, "inputs program"]
    programs: Float[Tensor, "program gene"]
    bias: Float[Tensor, " gene"]
    missed: Callable[[int, Section], Float[Tensor, "spot program"]]
    used: int
    sight: int

    @property
    def linear(self) -> Linear:
        """The map from inputs to genes, written out."""
        return Linear(weight=self.weight @ self.programs, bias=self.bias)


def fit_programs(
    sections: Sequence[Section],
    inputs: Inputs,
    *,
    sights: Sequence[int] = (),
    most: int = MOST_PROGRAMS,
    errors: float = ERRORS,
) -> ProgramFit:
    """Fit to sections; levels that differ between them are not learnt from.

    Sections are left out in up to five parts, those of a patient together; a lone section is cut into four
    pieces that lie together, of which one is left out at a time.

    Parameters
    ----------
    sights
        Numbers of first inputs that may be enough: those are used that gain most where sections are left
        out. Without any, all inputs are.
    most
        Programs at most.
    errors
        How many standard errors what a program gains has to be above chance.
    """
    levels = levels_of(sections)
    profiles = principal_axes(
        lambda: (levels.scaled(s) for s in sections), levels.spots, levels.measured, most
    )
    seen = _Seen(levels, parts_of(*names_and_patients(sections)), profiles, inputs)
    n_inputs = max(sights) if sights else inputs(sections[0]).shape[1]
    best = max(_fits(sections, seen, n_inputs, sights or (n_inputs,), errors), key=lambda fit: fit.gained)
    programs, sight = (profiles * levels.scale).float(), len(best.weight)
    weight = F.pad(best.weight, (0, 0, 0, n_inputs - sight)).float()
    return ProgramFit(
        weight=weight,
        programs=programs,
        bias=levels.mean.float() - best.mean_x.float() @ weight[:sight] @ programs,
        missed=best.missed,
        used=best.used,
        sight=sight,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sighted:
    """A fit to the first inputs: by whole sections, and what it gains and misses where they are left out."""

    weight: Float[Tensor, "some program"]
    mean_x: Float[Tensor, " some"]
    missed: Callable[[int, Section], Float[Tensor, "spot program"]]
    used: int
    gained: float


def _fits(
    sections: Sequence[Section], seen: "_Seen", n_inputs: int, sights: Sequence[int], errors: float
) -> Iterator[_Sighted]:
    """Fit to each number of first inputs; where spots abound, from one pass over the sections."""
    n_spots = seen.levels.spots.sum()
    if n_spots >= n_inputs:
        view = _View(seen, n_inputs, None)
        out, mean_x = _moments(sections, view)
        for sight in sights:
            first = {part: moments.of_inputs(sight) for part, moments in out.items()}
            yield _fit(_View(seen, sight, None), first, mean_x[:sight], errors)
    else:
        for sight in sights:
            view = _View(seen, sight, None if n_spots >= sight else _row_space(sections, seen, sight))
            yield _fit(view, *_moments(sections, view), errors)


def _fit(view: "_View", out: dict[int, Moments], mean_x: Float[Tensor, " some"], errors: float) -> _Sighted:
    whole = reduce(Moments.__add__, out.values())
    weights = {part: ridges(whole - moments) for part, moments in out.items()}
    left_out = [(weights[part], moments) for part, moments in out.items()]
    least = min(errors**2, SHARE * whole.rows)
    choice = choose(left_out, least * whole.yy / max(whole.rows - 1, 1))
    kept = {part: choice.of(each) for part, each in weights.items()}

    def missed(index: int, section: Section) -> Float[Tensor, "spot program"]:
        (x, _), c = view.inputs(section), view.seen.programs(section)
        found = torch.full_like(c, torch.nan)
        for part, own_spots in view.seen.cut(index, section):
            for rows in torch.split(own_spots, AT_ONCE):
                found[rows] = c[rows] - view.doubled(x[rows]) @ kept[part]
        return found.float()

    return _Sighted(
        weight=view.turned_back(choice.of(ridges(whole))),
        mean_x=mean_x,
        missed=missed,
        used=int((choice.factor > 0).sum()),
        gained=choice.gained,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """How ridge sees a section: inputs, programs, and the parts left out."""

    levels: Levels
    parts: list[int]
    profiles: Float[Tensor, "program gene"]
    inputs: Inputs

    def programs(self, section: Section) -> Float[Tensor, "spot program"]:
        """Return the amounts of programs in each spot."""
        return _programs(self.levels.scaled(section), self.profiles, section.measured.cpu())

    def cut(self, index: int, section: Section) -> Iterator[tuple[int, Int[Tensor, " some"]]]:
        """Say which spots with a value belong to which part: all to the section's, a lone one's to four."""
        if len(self.parts) > 1:
            yield self.parts[index], torch.arange(len(section.y))[section.spots]
        else:
            yield from enumerate(_pieces(section))


@dataclass(frozen=True, slots=True)
class _View:
    """The first inputs of a section about their means, in the space that those of all sections span."""

    seen: _Seen
    sight: int
    space: Float[Tensor, "dim less"] | None

    def inputs(self, section: Section) -> tuple[Float[Tensor, "spot some"], Float[Tensor, " some"]]:
        """Return a section's inputs about their means, and the means."""
        x = self.seen.inputs(section)[:, : self.sight].cpu()
        mean = x[section.spots].mean(0)
        return x - mean, mean.double()

    def doubled(self, x: Float[Tensor, "some some"]) -> Float[Tensor, "some less"]:
        """Return some of these in float64, which large sections are too large for, in the space spanned."""
        return x.double() if self.space is None else x.double() @ self.space

    def turned_back(self, weight: Float[Tensor, "less program"]) -> Float[Tensor, "dim program"]:
        """Return weights on the inputs themselves."""
        return weight if self.space is None else self.space @ weight


def _moments(sections: Sequence[Section], view: _View) -> tuple[dict[int, Moments], Float[Tensor, " dim"]]:
    """Return the moments of each part about the sections' means, and the mean of the inputs."""
    out: dict[int, Moments] = {}
    spots = view.seen.levels.spots
    mean, share = torch.zeros(1, dtype=torch.float64), spots / spots.sum()
    for index, section in enumerate(sections):
        (x, own), c = view.inputs(section), view.seen.programs(section)
        mean = mean + share[index] * own
        for part, own_spots in view.seen.cut(index, section):
            for rows in torch.split(own_spots, AT_ONCE):
                moments = Moments.of(view.doubled(x[rows]), c[rows], about_zero=True)
                out[part] = out[part] + moments if part in out else moments
    return out, mean


def _row_space(sections: Sequence[Section], seen: _Seen, sight: int) -> Float[Tensor, "dim less"]:
    """Return an orthonormal basis of what the inputs of spots fewer than the dimensions span.

    Fewer dimensions are less work; these spots together take no more than moments of all dimensions would.
    """
    x = [seen.inputs(section)[:, :sight].cpu().double() for section in sections]
    basis: Tensor = torch.linalg.qr(torch.cat([each - each.mean(0) for each in x]).T).Q
    return basis


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


def parts_of(names: Sequence[str], patients: Sequence[str]) -> list[int]:
    """Give each section the number of its part: by patients where there are two, else by sections."""
    patients = [patient or name for patient, name in zip(patients, names, strict=True)]
    apart = patients if len(set(patients)) > 1 else names
    number = {name: i % PARTS for i, name in enumerate(dict.fromkeys(apart))}
    return [number[name] for name in apart]


def _pieces(section: Section) -> list[Int[Tensor, " spot"]]:
    spots = torch.arange(len(section.y))[section.spots]
    positions = section.center_um.cpu()[spots].double().numpy()
    size = -(-len(positions) // PIECES)
    return list(torch.split(spots[torch.from_numpy(in_halves(positions, size))], size))
