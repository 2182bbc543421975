"""Correlations: golden against scipy; what does not matter to them; undefined is NaN, never 0."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from miso.scores.correlation import mean_pearson, pearson, spearman

SEEDS = st.integers(0, 2**32 - 1)


def pair(seed: int, spots: int = 25, genes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    measured = rng.poisson(2, (spots, genes)).astype(np.float32)
    measured[:2] = [[0], [1]]  # so that it varies
    return rng.integers(-5, 6, (spots, genes)).astype(np.float32) + np.eye(
        spots, genes, dtype=np.float32
    ), measured


def test_r_is_scipys() -> None:
    rng = np.random.default_rng(0)
    predicted, measured = rng.normal(3, 2, (2, 40, 6)).astype(np.float32)
    measured[:, 0] += 100 * predicted[:, 0] + 1e4
    expected = [stats.pearsonr(predicted[:, g], measured[:, g]).statistic for g in range(6)]
    np.testing.assert_allclose(pearson(predicted, measured), expected, atol=1e-6)


@given(SEEDS)
def test_rank_correlation_with_ties_is_scipys(seed: int) -> None:
    predicted, measured = pair(seed)
    expected = [stats.spearmanr(predicted[:, g], measured[:, g]).statistic for g in range(4)]
    np.testing.assert_allclose(spearman(predicted, measured), expected, atol=1e-12)


@given(SEEDS, st.floats(0.01, 100), st.floats(-100, 100))
def test_r_does_not_care_for_scale_and_shift(seed: int, scale: float, shift: float) -> None:
    predicted, measured = (side.astype(np.float64) for side in pair(seed))
    r = pearson(predicted, measured)
    np.testing.assert_allclose(pearson(scale * predicted + shift, measured), r, atol=1e-6)
    np.testing.assert_allclose(pearson(predicted, shift - scale * measured), -r, atol=1e-6)


@given(SEEDS)
def test_rank_correlation_does_not_care_for_a_monotone_map(seed: int) -> None:
    predicted, measured = (side.astype(np.float64) for side in pair(seed))
    rho = spearman(predicted, measured)
    np.testing.assert_allclose(spearman(np.exp(predicted / 2), measured), rho, atol=1e-12)
    np.testing.assert_allclose(spearman(predicted, measured**3), rho, atol=1e-12)
    np.testing.assert_allclose(spearman(-predicted, measured), -rho, atol=1e-12)


@pytest.mark.parametrize("score", [pearson, spearman])
@pytest.mark.parametrize("value", [0.0, 0.1, 7.0, 1e6])
def test_a_gene_that_does_not_vary_has_no_correlation(score, value: float) -> None:
    varying = np.arange(20, dtype=np.float32)[:, None]
    constant = np.full((20, 1), value, dtype=np.float32)
    assert np.isnan(score(constant, varying)).all()
    assert np.isnan(score(varying, constant)).all()


@pytest.mark.parametrize("score", [pearson, spearman])
def test_rounding_of_a_constant_prediction_is_no_variation(score) -> None:
    varying = np.arange(20, dtype=np.float32)[:, None]
    rounded = np.full((20, 1), 0.3, dtype=np.float32)
    rounded[::2] = np.nextafter(rounded[::2], 1)
    assert np.isnan(score(rounded, varying)).all()


def test_a_small_but_true_signal_on_a_large_level_has_an_r() -> None:
    varying = np.arange(20, dtype=np.float32)[:, None]
    np.testing.assert_allclose(pearson(varying / 100 + 50, varying), 1, atol=1e-4)


@pytest.mark.parametrize("score", [pearson, spearman])
def test_spots_that_were_not_measured_are_left_out(score) -> None:
    rng = np.random.default_rng(3)
    predicted, measured = rng.normal(size=(2, 30, 3))
    expected = score(predicted[:20], measured[:20])
    measured[20:] = np.nan
    np.testing.assert_allclose(score(predicted, measured), expected)
    measured[:, 1] = np.nan  # a gene that was not measured is no reason to leave spots out
    np.testing.assert_allclose(score(predicted, measured), [expected[0], np.nan, expected[2]])
    assert np.isnan(score(predicted, np.full((30, 3), np.nan))).all()


def test_one_spot_has_no_r() -> None:
    assert np.isnan(pearson(np.ones((1, 3)), np.zeros((1, 3)))).all()


def test_the_mean_r_leaves_undefined_genes_out() -> None:
    x = np.arange(10, dtype=np.float32)
    predicted, measured = np.stack([x, x, x], axis=1), np.stack([x, -x, np.ones_like(x)], axis=1)
    assert mean_pearson(predicted[:, [0, 2]], measured[:, [0, 2]]) == pytest.approx(1)
    assert mean_pearson(predicted, measured) == pytest.approx(0)


@given(hnp.arrays(np.float32, (12, 3), elements=st.floats(-100, 100, width=32)))
def test_r_lies_between_its_bounds_or_is_undefined(values: np.ndarray) -> None:
    r = pearson(values, values[::-1])
    assert (np.isnan(r) | (np.abs(r) <= 1 + 1e-9)).all()
