"""The penalty and the factor of each program leave the least error where spots are left out."""

import numpy as np
import pytest
import torch
from torch import Tensor

from miso.models.ridge import Moments
from miso.training import shrinkage
from miso.training.shrinkage import best_factor, choose, ridges

ROWS, DIM, PROGRAMS = 50, 6, 3


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moments(x: Tensor, c: Tensor) -> Moments:
    return Moments.of(x, c, about_zero=True)


@pytest.mark.parametrize("mix", [-0.5, 0.0, 0.3, 1.0, 2.5])
def test_no_factor_from_zero_to_one_leaves_less_error(mix: float) -> None:
    c = draw(ROWS, 1)
    p = mix * c + 0.5 * draw(ROWS, 1, seed=1)
    factor, gained = best_factor((p * c).sum(0), p.square().sum(0))
    errors = [(c - s * p).square().sum().item() for s in np.linspace(0, 1, 1001)]
    assert factor.item() == pytest.approx(np.argmin(errors) / 1000, abs=6e-4)
    assert gained.item() == pytest.approx(errors[0] - min(errors), abs=1e-3)


def test_a_prediction_of_nothing_gains_nothing() -> None:
    factor, gained = best_factor(torch.zeros(2), torch.zeros(2))
    assert factor.tolist() == gained.tolist() == [0, 0]


def test_weights_are_ridge_at_every_penalty_in_units_of_the_variance() -> None:
    x, c = draw(ROWS, DIM), draw(ROWS, PROGRAMS, seed=1)
    found = ridges(moments(x, c))
    assert found.shape == (len(shrinkage.PENALTIES), DIM, PROGRAMS)
    for penalty, weight in zip(shrinkage.PENALTIES, found, strict=True):
        gram = x.T @ x + penalty * x.square().sum() * torch.eye(DIM)
        np.testing.assert_allclose(weight, torch.linalg.solve(gram, x.T @ c), atol=1e-10)


def test_each_program_gets_the_penalty_that_serves_it_best_where_spots_are_left_out() -> None:
    """One that all inputs tell a little of, with much noise; one that a single input tells; pure noise."""
    slopes = torch.zeros(DIM, PROGRAMS, dtype=torch.float64)
    slopes[:, 0], slopes[0, 1] = 0.2, 1.0
    halves = []
    for seed in (0, 1):
        x = draw(ROWS, DIM, seed=seed)
        noise = torch.tensor([1.0, 0.01, 1.0]) * draw(ROWS, PROGRAMS, seed=10 + seed)
        halves.append((x, x @ slopes + noise))
    weights = [ridges(moments(*half)) for half in halves]
    least = torch.tensor([1.0, 1.0, 1e4])
    choice = choose([(weights[0], moments(*halves[1])), (weights[1], moments(*halves[0]))], least)
    gained = 0.0
    for program in range(PROGRAMS):
        errors = np.zeros((len(shrinkage.PENALTIES), 1001))
        for weight, (x, c) in zip(weights, halves[::-1], strict=True):
            for number in range(len(errors)):
                said = x @ weight[number, :, program]
                for place, factor in enumerate(np.linspace(0, 1, 1001)):
                    errors[number, place] += (c[:, program] - factor * said).square().sum()
        number, place = np.unravel_index(errors.argmin(), errors.shape)
        if program < 2:
            assert choice.penalty[program] == number
            assert choice.factor[program].item() == pytest.approx(place / 1000, abs=6e-4)
            gained += errors[0, 0] - errors.min()
    assert choice.factor[2] == 0
    assert choice.gained == pytest.approx(gained, rel=1e-3)
    assert choice.penalty[0] > choice.penalty[1]
    picked = choice.of(weights[0])
    for program in range(PROGRAMS):
        expected = weights[0][choice.penalty[program], :, program] * choice.factor[program]
        assert torch.equal(picked[:, program], expected)
