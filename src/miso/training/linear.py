"""Ridge on sections: the penalty chosen on validation sections, then fitted on all sections at hand."""

from collections.abc import Callable, Sequence

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


def path_over(sections: Sequence[Section], inputs: Inputs) -> RidgePath:
    """Fit ridge on the spots of some sections together."""
    return RidgePath(torch.cat([inputs(s) for s in sections]), torch.cat([s.y for s in sections]))


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
