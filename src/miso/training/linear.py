"""Ridge on sections: the penalty chosen on validation sections, then fitted on all sections at hand.

Sections are passed over once, one after the other: what is kept of them are their moments.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from miso.models.ridge import Linear, Moments, RidgePath
from miso.scores.metrics import mean_pearson
from miso.training.sections import Section

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Tried on validation; in units of one variance of a standardised feature."""
DEFAULT_PENALTY = 3.0
"""Used where there is no validation section."""

Inputs = Callable[[Section], Tensor]


@dataclass(frozen=True, slots=True)
class Group:
    """Genes that were measured on the same sections, and the moments there; None where on none."""

    genes: Int[Tensor, " gene"]
    moments: Moments | None


@dataclass(frozen=True, slots=True)
class SectionMoments:
    """Moments of inputs and targets over sections, each gene's over those that measured it."""

    dim: int
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, x: Float[Tensor, "spot dim"], section: Section) -> "SectionMoments":
        """Take those of one section."""
        there = section.measured.cpu()
        x, y = x[section.spots], section.y[section.spots]
        groups = [Group(_where(there), Moments.of(x, y if there.all() else y[:, there]))]
        if not there.all():
            groups.append(Group(_where(~there), None))
        return cls(x.shape[1], tuple(group for group in groups if len(group.genes)))

    def __add__(self, other: "SectionMoments") -> "SectionMoments":
        """Moments over the sections of both."""
        return SectionMoments(
            self.dim, tuple(both for a in self.groups for b in other.groups if (both := _shared(a, b)))
        )


def _where(there: Bool[Tensor, " gene"]) -> Int[Tensor, " some"]:
    return there.nonzero().flatten()


def _shared(one: Group, other: Group) -> Group | None:
    """Put together what two groups hold on the genes that are in both."""
    at, there = (torch.isin(a.genes, b.genes) for a, b in ((one, other), (other, one)))
    if not at.any():
        return None
    first = one.moments and one.moments.of_genes(_where(at))
    second = other.moments and other.moments.of_genes(_where(there))
    return Group(one.genes[at], first + second if first and second else first or second)


@dataclass(frozen=True, slots=True)
class Path:
    """Ridge solutions by penalty, each gene's of the sections that measured it; 0 for a gene of none."""

    dim: int
    paths: list[tuple[Int[Tensor, " gene"], RidgePath | None]]

    @classmethod
    def of(cls, moments: SectionMoments) -> "Path":
        """Prepare the solutions."""
        paths = [
            (group.genes, None if group.moments is None else RidgePath(group.moments))
            for group in moments.groups
        ]
        return cls(moments.dim, paths)

    def at(self, penalty: float) -> Linear:
        """Return the solution at a penalty > 0."""
        if len(self.paths) == 1 and (path := self.paths[0][1]):
            return path.at(penalty)
        n_genes = sum(len(genes) for genes, _ in self.paths)
        weight, bias = torch.zeros(self.dim, n_genes), torch.zeros(n_genes)
        for genes, path in self.paths:
            if path:
                linear = path.at(penalty)
                weight[:, genes], bias[genes] = linear.weight, linear.bias
        return Linear(weight=weight, bias=bias)

    def predict(self, x: Float[Tensor, "spot dim"], penalty: float) -> Float[Tensor, "spot gene"]:
        """Predict by the solution at a penalty > 0."""
        if len(self.paths) == 1 and (path := self.paths[0][1]):
            return path.predict(x, penalty)
        predicted = torch.zeros(len(x), sum(len(genes) for genes, _ in self.paths))
        for genes, path in self.paths:
            if path:
                predicted[:, genes] = path.predict(x, penalty)
        return predicted


def path_over(sections: Iterable[Section], inputs: Inputs) -> Path:
    """Fit ridge on the spots of some sections together; each gene on the sections that measured it."""
    moments = None
    for section in sections:
        own = SectionMoments.of(inputs(section), section)
        moments = moments + own if moments else own
    if moments is None:
        raise ValueError("ridge needs a section")
    return Path.of(moments)


def fit_ridges(
    train: Iterable[Section], val: Iterable[Section], inputs: dict[str, Inputs]
) -> dict[str, tuple[Linear, float]]:
    """Fit ridge on several inputs at once, passing over the sections once.

    Each penalty has the best mean r per validation section; then training and validation sections are fitted
    together.

    Returns
    -------
    By the names of `inputs`, the fit and its penalty.
    """
    moments: dict[str, SectionMoments] = {}
    for section in train:
        _add(moments, section, inputs)
    paths: dict[str, Path] = {}
    scores: dict[str, list[list[float]]] = {name: [] for name in inputs}
    for section in val:
        paths = paths or {name: Path.of(of) for name, of in moments.items()}
        for name, of in inputs.items():
            scores[name].append(_scores(paths[name], of(section), section))
        _add(moments, section, inputs)
    found = {}
    for name, every in moments.items():
        paths.pop(name, None)  # not needed beside the next
        penalty = _best(scores[name])
        found[name] = (Path.of(every).at(penalty), penalty)
    return found


def fit_ridge(train: Iterable[Section], val: Iterable[Section], inputs: Inputs) -> tuple[Linear, float]:
    """Choose the penalty on validation, then fit on training and validation sections together."""
    return fit_ridges(train, val, {"": inputs})[""]


def _add(moments: dict[str, SectionMoments], section: Section, inputs: dict[str, Inputs]) -> None:
    for name, of in inputs.items():
        own = SectionMoments.of(of(section), section)
        moments[name] = moments[name] + own if name in moments else own


def _scores(path: Path, x: Float[Tensor, "spot dim"], section: Section) -> list[float]:
    """Mean over genes of Pearson's r, by penalty."""
    y = section.y.cpu().numpy()
    return [mean_pearson(path.predict(x, penalty).numpy(), y) for penalty in PENALTIES]


def _best(scores: list[list[float]]) -> float:
    """Return the penalty with the best mean over validation sections; the first of equals."""
    if not scores:
        return DEFAULT_PENALTY
    means = [sum(of_penalty) / len(scores) for of_penalty in zip(*scores, strict=True)]
    return max(zip(PENALTIES, means, strict=True), key=lambda pair: pair[1])[0]
