"""Structural similarity: hand-computed, and what it does not see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miso.scores.ssim import ssim

C1, C2 = 2.55**2, 7.65**2


def test_the_golden_number() -> None:
    measured = np.array([[0.0], [2.0], [4.0]])  # levels 0, 127 (128 is a border), 255
    predicted = np.array([[5.0], [5.0], [9.0]])  # levels 0, 0, 255
    m, p = (0 + 127 + 255) / 3, 255 / 3
    var_m = ((0 - m) ** 2 + (127 - m) ** 2 + (255 - m) ** 2) / 2
    var_p = (2 * p**2 + (255 - p) ** 2) / 2
    covariance = ((0 - m) * (0 - p) + (127 - m) * (0 - p) + (255 - m) * (255 - p)) / 2
    expected = ((2 * m * p + C1) * (2 * covariance + C2)) / ((m**2 + p**2 + C1) * (var_m + var_p + C2))
    assert expected == pytest.approx(0.79286, abs=5e-5)
    assert ssim(predicted, measured)[0] == pytest.approx(expected, abs=1e-12)


def test_itself_is_1_and_the_opposite_is_negative() -> None:
    values = np.arange(30, dtype=np.float32)[:, None]
    assert ssim(values, values)[0] == pytest.approx(1)
    assert ssim(-values, values)[0] < -0.9


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 2.0, 64.0]))
def test_scale_does_not_matter_and_neither_does_the_sign_of_the_largest(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    predicted, measured = rng.integers(0, 100, (2, 20, 3)).astype(np.float64)
    predicted[:2], measured[:2] = [[0], [1]], [[0], [1]]
    expected = ssim(predicted, measured)
    np.testing.assert_allclose(ssim(scale * predicted, measured), expected, atol=1e-12)
    np.testing.assert_allclose(ssim(predicted - 1000, measured), expected, atol=1e-12)


def test_nothing_to_see_is_undefined() -> None:
    values, flat = np.arange(9, dtype=np.float32)[:, None], np.full((9, 1), 3, dtype=np.float32)
    assert np.isnan(ssim(flat, values)).all()
    assert np.isnan(ssim(values, flat)).all()
    assert np.isnan(ssim(values[:1], values[:1])).all()
