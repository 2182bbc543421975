"""The baselines' ridge: its penalty is the best one on validation sections."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from miso.models.ridge import RidgePath
from miso.scores.metrics import mean_pearson
from miso.training.linear import DEFAULT_PENALTY, PENALTIES, choose_penalty
from miso.training.sections import Section


def inputs(section: Section) -> Tensor:
    return section.features - section.features.mean(0)


def test_the_penalty_is_the_best_one_on_validation(sections: list[Section]) -> None:
    def score(penalty: float, val: Sequence[Section]) -> float:
        path = RidgePath(torch.cat([inputs(s) for s in sections[:2]]), torch.cat([s.y for s in sections[:2]]))
        return sum(mean_pearson(path.at(penalty)(inputs(s)).numpy(), s.y.numpy()) for s in val)

    noise = torch.poisson(torch.full_like(sections[2].y, 9.0), generator=torch.Generator().manual_seed(1))
    for val in (sections[2:3], sections[2:], [replace(sections[2], y=noise)]):
        chosen = choose_penalty(sections[:2], val, inputs)
        assert score(chosen, val) == max(score(penalty, val) for penalty in PENALTIES)
    assert choose_penalty(sections[:2], [], inputs) == DEFAULT_PENALTY  # nobody to ask
