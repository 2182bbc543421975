"""Ridge in closed form against scikit-learn's, whose penalty is not scaled by the number of rows."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from miso.models.ridge import RidgePath


@pytest.fixture
def rows() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 9, generator=generator) * torch.arange(1.0, 10) + 5
    return x, x[:, :4] @ torch.randn(4, 3, generator=generator) + torch.randn(60, 3, generator=generator) - 20


@pytest.mark.parametrize("penalty", [1e-3, 0.3, 30.0])
def test_ridge_is_scikit_learns_with_the_penalty_times_the_rows(
    rows: tuple[Tensor, Tensor], penalty: float
) -> None:
    x, y = rows
    found, expected = RidgePath(x, y).at(penalty), Ridge(alpha=penalty * len(x)).fit(x.double(), y.double())
    np.testing.assert_allclose(found.weight.T, expected.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found(x), expected.predict(x.double()), rtol=1e-4, atol=1e-3)


def test_twice_the_same_rows_change_nothing_at_the_same_penalty(rows: tuple[Tensor, Tensor]) -> None:
    x, y = rows
    once, twice = RidgePath(x, y).at(1.0), RidgePath(x.repeat(2, 1), y.repeat(2, 1)).at(1.0)
    torch.testing.assert_close(twice.weight, once.weight)
    torch.testing.assert_close(twice.bias, once.bias)


def test_a_path_gives_the_same_solution_however_often_it_was_asked(rows: tuple[Tensor, Tensor]) -> None:
    path = RidgePath(*rows)
    solutions = [path.at(penalty) for penalty in (0.1, 1.0, 10.0)]
    assert torch.equal(path.at(0.1).weight, solutions[0].weight)
    sizes = [float(solution.weight.norm()) for solution in solutions]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


def test_more_features_than_rows_have_a_finite_solution() -> None:
    x, y = torch.randn(5, 40), torch.randn(5, 2)
    expected = Ridge(alpha=0.5).fit(x.double(), y.double())
    np.testing.assert_allclose(RidgePath(x, y).at(0.1)(x), expected.predict(x.double()), atol=1e-4)


def test_a_hopelessly_large_penalty_leaves_the_mean(rows: tuple[Tensor, Tensor]) -> None:
    x, y = rows
    torch.testing.assert_close(RidgePath(x, y).at(1e12)(x), y.mean(0).expand_as(y), rtol=1e-4, atol=1e-3)
