"""Divergence and information: golden against scipy and scikit-learn, on the bins that are promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from miso.scores.distribution import equal_frequency_bins, jensen_shannon, mutual_information

SEEDS = st.integers(0, 2**32 - 1)


def pair(seed: int, spots: int = 60, genes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    measured = rng.poisson(1.5, (spots, genes)).astype(np.float32)
    measured[:2] = [[0], [1]]
    return (measured + rng.normal(0, 2, measured.shape)).astype(np.float32), measured


@given(SEEDS)
def test_divergence_is_the_square_of_scipys_distance(seed: int) -> None:
    predicted, measured = (side.astype(np.float64) for side in pair(seed))
    expected = [jensenshannon(np.maximum(predicted[:, g], 0), measured[:, g], base=2) ** 2 for g in range(3)]
    np.testing.assert_allclose(jensen_shannon(predicted, measured), expected, atol=1e-7)


def test_divergence_is_0_for_the_same_shares_and_1_where_nothing_is_shared() -> None:
    measured = np.array([[1.0, 0.0], [3.0, 2.0], [0.0, 5.0]])
    np.testing.assert_allclose(jensen_shannon(7 * measured, measured), 0, atol=1e-12)
    np.testing.assert_allclose(jensen_shannon([[0.0], [0.0], [4.0]], [[1.0], [2.0], [0.0]]), 1)


def test_a_side_without_mass_is_no_distribution() -> None:
    some, none = np.array([[1.0], [2.0]]), np.zeros((2, 1))
    assert np.isnan(jensen_shannon(some, none)).all()
    assert np.isnan(jensen_shannon(none, some)).all()
    assert np.isnan(jensen_shannon(-some, some)).all()  # negative predictions are 0
    assert np.isnan(jensen_shannon(some, [[-1.0], [2.0]])).all()


def test_bins_hold_equally_many_spots_where_nothing_ties() -> None:
    values = np.random.default_rng(0).permutation(100)[:, None].astype(np.float64)
    found = equal_frequency_bins(values, 10)
    np.testing.assert_array_equal(found, values // 10)
    assert np.bincount(equal_frequency_bins(values[:57], 10)[:, 0]).tolist() == [6, 6, 6, 5, 6, 6, 5, 6, 6, 5]


def test_ties_stay_together_in_the_lowest_bin() -> None:
    values = np.array([0.0] * 6 + [1.0] * 2 + [2.0] * 2)[:, None]
    assert equal_frequency_bins(values, 5)[:, 0].tolist() == [0] * 6 + [3] * 2 + [4] * 2


@settings(max_examples=15)
@given(SEEDS)
def test_information_is_scikit_learns_on_the_same_bins(seed: int) -> None:
    predicted, measured = pair(seed)
    p, m = equal_frequency_bins(predicted, 10), equal_frequency_bins(measured, 10)
    found = mutual_information(predicted, measured)
    for g in range(3):
        expected = normalized_mutual_info_score(p[:, g], m[:, g], average_method="geometric")
        assert found[g] == pytest.approx(expected, abs=1e-9)
        entropies = mutual_info_score(p[:, g], p[:, g]) * mutual_info_score(m[:, g], m[:, g])
        assert found[g] == pytest.approx(mutual_info_score(p[:, g], m[:, g]) / np.sqrt(entropies), abs=1e-9)


def test_information_takes_more_bins_on_large_sections() -> None:
    values = np.arange(12**3, dtype=np.float32)[:, None]
    p = equal_frequency_bins(values, 12)[:, 0]
    half = (values > len(values) / 2).astype(np.float32)
    expected = normalized_mutual_info_score(p, half[:, 0] > 0, average_method="geometric")
    assert mutual_information(values, half)[0] == pytest.approx(expected, abs=1e-9)


def test_information_is_1_of_itself_and_undefined_without_variation() -> None:
    values = np.arange(40, dtype=np.float32)[:, None]
    assert mutual_information(values, values)[0] == pytest.approx(1)
    assert mutual_information(-values, values)[0] == pytest.approx(1)
    flat = np.full_like(values, 0.3)
    assert np.isnan(mutual_information(flat, values)).all()
    assert np.isnan(mutual_information(values, flat)).all()
    flat[::2] = np.nextafter(flat[::2], 1)
    assert np.isnan(mutual_information(flat, values)).all()


def test_values_that_fill_one_bin_share_no_defined_information() -> None:
    low = np.ones((40, 1))
    low[0] = 0  # nine in ten values tie, from the first bin's end to the last's
    assert np.isnan(mutual_information(low, np.arange(40.0)[:, None])).all()
