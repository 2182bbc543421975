"""Distances: hand-computed."""

import numpy as np
import pytest

from miso.scores.distance import mae, nrmse_range, nrmse_sd, rmse, rmse_minmax

PREDICTED = np.array([[1.0], [2.0], [4.0], [5.0]])
MEASURED = np.array([[0.0], [2.0], [4.0], [10.0]])
# differences 1, 0, 0, −5: mean square 26/4; mean of measured 4, squares about it 16 + 4 + 0 + 36 = 56


def test_the_golden_numbers() -> None:
    assert rmse(PREDICTED, MEASURED) == pytest.approx(np.sqrt(26 / 4))
    assert mae(PREDICTED, MEASURED) == pytest.approx(6 / 4)
    assert nrmse_range(PREDICTED, MEASURED) == pytest.approx(np.sqrt(26 / 4) / 10)
    assert nrmse_sd(PREDICTED, MEASURED) == pytest.approx(np.sqrt(26 / 4) / np.sqrt(56 / 3))


def test_the_mean_as_prediction_scores_one_but_for_the_degree_of_freedom() -> None:
    assert nrmse_sd(np.full_like(MEASURED, 4), MEASURED) == pytest.approx(np.sqrt(3 / 4))


def test_a_shift_is_its_own_distance() -> None:
    assert rmse(MEASURED + 3, MEASURED) == pytest.approx(3)
    assert mae(MEASURED - 3, MEASURED) == pytest.approx(3)


def test_a_measurement_that_does_not_vary_has_a_distance_and_no_normalised_one() -> None:
    flat = np.full_like(MEASURED, 0.1)
    assert np.isfinite(rmse(PREDICTED, flat)).all()
    assert np.isnan(nrmse_range(PREDICTED, flat)).all()
    assert np.isnan(nrmse_sd(PREDICTED, flat)).all()
    assert np.isnan(nrmse_sd(PREDICTED[:1], MEASURED[:1])).all()


def test_a_constant_prediction_has_every_distance() -> None:
    flat = np.zeros_like(MEASURED)
    for score in (rmse, mae, nrmse_range, nrmse_sd):
        assert np.isfinite(score(flat, MEASURED)).all()


def test_between_extremes_neither_scale_nor_offset_of_a_side_matters() -> None:
    # 0, 1/4, 3/4, 1 beside 0, 1/5, 2/5, 1: differences 0, 1/20, 7/20, 0
    expected = np.sqrt((1 / 400 + 49 / 400) / 4)
    assert rmse_minmax(PREDICTED, MEASURED) == pytest.approx(expected)
    assert rmse_minmax(7 * PREDICTED - 3, MEASURED / 2 + 1) == pytest.approx(expected)


def test_between_extremes_a_side_that_does_not_vary_is_undefined() -> None:
    flat = np.full_like(MEASURED, 0.1)
    assert np.isnan(rmse_minmax(flat, MEASURED)).all()
    assert np.isnan(rmse_minmax(PREDICTED, flat)).all()
