"""Ridge on sections: the penalty chosen on validation sections, then fitted on all sections at hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from miso.models.ridge import Linear, RidgePath
from miso.scores.metrics import mean_pearson
from miso.training.sections import Section

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Tried on validation; in units of one variance of a standardised feature."""
DEFAULT_PENALTY = 3.0
"""Used where there is no validation section."""

Inputs = Callable[[Section], Tensor]


class Path(Protocol):
    """Ridge solutions by penalty."""

    def at(self, penalty: float) -> Linear:
        """Return the solution at a penalty > 0."""


def path_over(sections: Sequence[Section], inputs: Inputs) -> Path:
    """Fit ridge on the spots of some sections together; each gene on the sections that measured it."""
    x, measured = [inputs(s) for s in sections], torch.stack([s.measured for s in sections])
    if measured.all():
        return RidgePath(torch.cat(x), torch.cat([s.y for s in sections]))
    patterns = [tuple(pattern) for pattern in measured.T.tolist()]  # of each gene, where it was measured
    paths = []
    for pattern in dict.fromkeys(patterns):
        genes = torch.tensor([gene for gene, its in enumerate(patterns) if its == pattern])
        its = [i for i, there in enumerate(pattern) if there]
        if its:
            y = torch.cat([sections[i].y[:, genes] for i in its])
            paths.append((genes, RidgePath(torch.cat([x[i] for i in its]), y)))
    return _Patchwork(paths, x[0].shape[1], measured.shape[1])


@dataclass(frozen=True, slots=True)
class _Patchwork:
    """Paths of groups of genes; a gene of none is 0 everywhere."""

    paths: list[tuple[Tensor, RidgePath]]
    dim: int
    n_genes: int

    def at(self, penalty: float) -> Linear:
        """Return the solution at a penalty > 0."""
        weight, bias = torch.zeros(self.dim, self.n_genes), torch.zeros(self.n_genes)
        for genes, path in self.paths:
            linear = path.at(penalty)
            weight[:, genes], bias[genes] = linear.weight, linear.bias
        return Linear(weight=weight, bias=bias)


def choose_penalty(train: Sequence[Section], val: Sequence[Section], inputs: Inputs) -> float:
    """Return the penalty with the best mean r per section over the validation sections."""
    if not val:
        return DEFAULT_PENALTY
    path = path_over(train, inputs)
    scores = {penalty: section_score(path.at(penalty), val, inputs) for penalty in PENALTIES}
    return max(scores, key=scores.__getitem__)


def section_score(linear: Linear, sections: Sequence[Section], inputs: Inputs) -> float:
    """Mean over sections of the mean over genes of Pearson's r."""
    weight, bias = linear.weight.to(sections[0].y), linear.bias.to(sections[0].y)
    scores = [mean_pearson((inputs(s) @ weight + bias).cpu().numpy(), s.y.cpu().numpy()) for s in sections]
    return sum(scores) / len(scores)


def fit_ridge(train: Sequence[Section], val: Sequence[Section], inputs: Inputs) -> tuple[Linear, float]:
    """Choose the penalty on validation, then fit on training and validation sections together."""
    penalty = choose_penalty(train, val, inputs)
    return path_over([*train, *val], inputs).at(penalty), penalty
