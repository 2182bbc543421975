"""Ridge in closed form against scikit-learn's, whose penalty is not scaled by the number of rows."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from miso.models.ridge import Moments, RidgePath


@pytest.fixture
def rows() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 9, generator=generator) * torch.arange(1.0, 10) + 5
    return x, x[:, :4] @ torch.randn(4, 3, generator=generator) + torch.randn(60, 3, generator=generator) - 20


def path(x: Tensor, y: Tensor) -> RidgePath:
    return RidgePath(Moments.of(x, y))


@pytest.mark.parametrize("penalty", [1e-3, 0.3, 30.0])
def test_ridge_is_scikit_learns_with_the_penalty_times_the_rows(
    rows: tuple[Tensor, Tensor], penalty: float
) -> None:
    x, y = rows
    found, expected = path(x, y).at(penalty), Ridge(alpha=penalty * len(x)).fit(x.double(), y.double())
    np.testing.assert_allclose(found.weight.T, expected.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found(x), expected.predict(x.double()), rtol=1e-4, atol=1e-3)


def test_twice_the_same_rows_change_nothing_at_the_same_penalty(rows: tuple[Tensor, Tensor]) -> None:
    x, y = rows
    once, twice = path(x, y).at(1.0), path(x.repeat(2, 1), y.repeat(2, 1)).at(1.0)
    torch.testing.assert_close(twice.weight, once.weight)
    torch.testing.assert_close(twice.bias, once.bias)


def test_a_path_gives_the_same_solution_however_often_it_was_asked(rows: tuple[Tensor, Tensor]) -> None:
    one = path(*rows)
    solutions = [one.at(penalty) for penalty in (0.1, 1.0, 10.0)]
    assert torch.equal(one.at(0.1).weight, solutions[0].weight)
    sizes = [float(solution.weight.norm()) for solution in solutions]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


def test_more_features_than_rows_have_a_finite_solution() -> None:
    x, y = torch.randn(5, 40), torch.randn(5, 2)
    expected = Ridge(alpha=0.5).fit(x.double(), y.double())
    np.testing.assert_allclose(path(x, y).at(0.1)(x), expected.predict(x.double()), atol=1e-4)


def test_a_hopelessly_large_penalty_leaves_the_mean(rows: tuple[Tensor, Tensor]) -> None:
    x, y = rows
    torch.testing.assert_close(path(x, y).at(1e12)(x), y.mean(0).expand_as(y), rtol=1e-4, atol=1e-3)


def assert_same(one: Moments, other: Moments) -> None:
    assert one.rows == other.rows
    for name in ("mean_x", "mean_y", "xx", "xy", "yy"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-7)


def test_moments_of_parts_add_up_to_those_of_all_rows_and_come_off_again(rows: tuple[Tensor, Tensor]) -> None:
    x, y = rows
    first, second, third = (Moments.of(x[part], y[part]) for part in (slice(7), slice(7, 8), slice(8, None)))
    whole = Moments.of(x, y)
    assert_same(first + second + third, whole)
    assert_same(third + (first + second), whole)
    assert_same(whole - first, Moments.of(x[7:], y[7:]))
    assert_same(whole.of_genes(torch.tensor([2, 0])), Moments.of(x, y[:, [2, 0]]))


def test_moments_are_what_numpy_says(rows: tuple[Tensor, Tensor]) -> None:
    x, y = (each.double() for each in rows)
    found, degrees = Moments.of(x, y), len(x) - 1
    together = np.cov(np.concatenate([x, y], axis=1), rowvar=False) * degrees
    np.testing.assert_allclose(found.xx, together[:9, :9], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.xy, together[:9, 9:], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.yy, np.diag(together)[9:], rtol=1e-9)


def test_a_small_spread_far_from_0_is_not_lost_over_many_parts() -> None:
    generator = torch.Generator().manual_seed(0)
    small = torch.randn(1000, 2, generator=generator, dtype=torch.float64)
    x = small[:, :1] + 1e8
    parts = [Moments.of(x[i : i + 10], small[i : i + 10] + 1e7) for i in range(0, 1000, 10)]
    found = sum(parts[1:], start=parts[0])
    expected = Moments.of(small[:, :1], small)
    torch.testing.assert_close(found.xx, expected.xx, rtol=1e-6, atol=0)  # sums about 0 would be 1e19
    torch.testing.assert_close(found.xy, expected.xy, rtol=1e-6, atol=1e-3)


def test_moments_about_zero_are_plain_sums(rows: tuple[Tensor, Tensor]) -> None:
    x, y = (each.double() for each in rows)
    one, other = (Moments.of(x[part], y[part], about_zero=True) for part in (slice(20), slice(20, None)))
    torch.testing.assert_close((one + other).xx, x.T @ x)
    torch.testing.assert_close((one + other - one).xy, x[20:].T @ y[20:])


def test_no_rows_are_left_of_all_without_all(rows: tuple[Tensor, Tensor]) -> None:
    whole = Moments.of(*rows, about_zero=True)
    none = whole - whole
    assert none.rows == 0
    assert not RidgePath(none).weight(1.0).any()


def test_a_path_predicts_as_its_solutions_do(rows: tuple[Tensor, Tensor]) -> None:
    one = path(*rows)
    torch.testing.assert_close(one.predict(rows[0], 0.3), one.at(0.3)(rows[0]), rtol=1e-4, atol=1e-4)
