"""SSIM of pictures: beside a plain loop over windows, and what must and must not matter."""

import numpy as np
import pytest

from miso.scores.picture import CONTRAST, LUMINANCE, REACH_CELLS, SIGMA_CELLS, picture_ssim

ALL = np.ones((14, 17), dtype=bool)


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).random(ALL.shape)


@pytest.fixture
def predicted(truth: np.ndarray) -> np.ndarray:
    return 0.5 * truth + 0.5 * np.random.default_rng(1).random(ALL.shape)


@pytest.fixture
def tissue() -> np.ndarray:
    row, col = np.indices(ALL.shape)
    return np.hypot(row - 6, col - 9) < 6


def by_windows(p: np.ndarray, t: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """SSIM of the window about each cell of tissue, row-major."""
    p, t = ((x - x[tissue].min()) / np.ptp(x[tissue]) for x in (p, t))
    cells, found = np.argwhere(tissue), []
    for cell in cells:
        away = cells - cell
        near = (np.abs(away) <= REACH_CELLS).all(axis=1)
        weight = np.exp(-(away[near] ** 2).sum(axis=1) / (2 * SIGMA_CELLS**2))
        values = np.stack([side[tuple(cells[near].T)] for side in (p, t)])
        means = np.average(values, axis=1, weights=weight)
        cov = np.cov(values, aweights=weight, bias=True)
        luminance = (2 * means[0] * means[1] + LUMINANCE) / ((means**2).sum() + LUMINANCE)
        found.append(luminance * (2 * cov[0, 1] + CONTRAST) / (cov[0, 0] + cov[1, 1] + CONTRAST))
    return np.array(found)


def test_it_is_the_mean_over_gaussian_windows_of_tissue(
    predicted: np.ndarray, truth: np.ndarray, tissue: np.ndarray
) -> None:
    for mask in (tissue, ALL):
        expected = by_windows(predicted, truth, mask).mean()
        assert picture_ssim(predicted, truth, mask) == pytest.approx(expected)


def test_the_loop_has_the_golden_number_of_another_package() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((11, 11))
    predicted = 0.5 * truth + 0.5 * rng.random((11, 11))
    middle = by_windows(predicted, truth, np.ones((11, 11), dtype=bool)).reshape(11, 11)[5, 5]
    # scikit-image 0.26: structural_similarity of both sides between their extremes, with gaussian_weights,
    # sigma=1.5, use_sample_covariance=False and data_range=1, takes this one window
    assert middle == pytest.approx(0.7155774157, abs=1e-9)


def test_itself_is_1_whatever_its_scale(truth: np.ndarray, tissue: np.ndarray) -> None:
    assert picture_ssim(3 * truth + 7, truth, tissue) == pytest.approx(1)


def test_glass_does_not_matter(predicted: np.ndarray, truth: np.ndarray, tissue: np.ndarray) -> None:
    expected = picture_ssim(predicted, truth, tissue)
    for glass in (100.0, np.nan):
        assert picture_ssim(np.where(tissue, predicted, glass), truth, tissue) == pytest.approx(expected)


def test_a_cell_that_the_map_lacks_is_as_if_it_were_glass(
    predicted: np.ndarray, truth: np.ndarray, tissue: np.ndarray
) -> None:
    lacking, fewer = predicted.copy(), tissue.copy()
    lacking[6, 9], fewer[6, 9] = np.nan, False
    assert picture_ssim(lacking, truth, tissue) == pytest.approx(picture_ssim(predicted, truth, fewer))


def test_it_sees_where_things_lie(truth: np.ndarray) -> None:
    smooth = np.sin(np.indices(ALL.shape).sum(axis=0) / 2)
    assert picture_ssim(np.roll(smooth, 3, axis=1), smooth, ALL) < 0.5
    assert picture_ssim(smooth + 0.01 * truth, smooth, ALL) > 0.98


def test_what_does_not_vary_and_no_tissue_are_undefined(truth: np.ndarray) -> None:
    assert np.isnan(picture_ssim(np.full_like(truth, 0.1), truth, ALL))
    assert np.isnan(picture_ssim(truth, np.zeros_like(truth), ALL))
    assert np.isnan(picture_ssim(truth, truth, ~ALL))
