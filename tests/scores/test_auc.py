"""Area under the curve: golden against scikit-learn, ties included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from miso.scores.auc import auc_above


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 3]))
def test_it_is_scikit_learns_with_ties(seed: int, threshold: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2, (30, 4))
    counts[:2] = [[0], [9]]
    predicted = (counts + rng.integers(-4, 5, counts.shape)).astype(np.float32)
    expected = [roc_auc_score(counts[:, g] > threshold, predicted[:, g]) for g in range(4)]
    np.testing.assert_allclose(auc_above(threshold)(predicted, counts), expected, atol=1e-12)


def test_by_hand() -> None:
    counts, predicted = np.array([[0], [1], [2], [2]]), np.array([[1.0], [2.0], [2.0], [3.0]])
    assert auc_above(0)(predicted, counts)[0] == pytest.approx(1)
    assert auc_above(1)(predicted, counts)[0] == pytest.approx((1 + 0.5 + 1 + 1) / 4)


def test_one_class_is_undefined() -> None:
    counts = np.array([[0, 1, 0], [0, 2, 0], [0, 5, 1]])
    assert np.isnan(auc_above(0)(np.random.default_rng(0).normal(size=(3, 3)), counts)).tolist() == [
        True,
        True,
        False,
    ]


def test_a_constant_prediction_is_chance_even_when_it_is_rounded() -> None:
    counts = np.arange(20)[:, None] % 3
    flat = np.full((20, 1), 0.3, dtype=np.float32)
    assert auc_above(0)(flat, counts)[0] == pytest.approx(0.5)
    flat[::2] = np.nextafter(flat[::2], 1)
    assert auc_above(0)(flat, counts)[0] == pytest.approx(0.5)


def test_the_wrong_way_round_is_below_chance() -> None:
    counts = np.arange(10)[:, None] % 2
    assert auc_above(0)(-counts.astype(np.float32), counts)[0] == pytest.approx(0)
