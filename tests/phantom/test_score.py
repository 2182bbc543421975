"""The within-spot score rewards structure below the spot and nothing else."""

import numpy as np
import pytest

from miso.geometry import Raster
from miso.phantom.score import between_spots, cells_under_spots, within_spot_r

RASTER = Raster(origin_xy=(8.0, 8.0), step_px=16.0, shape=(40, 50))
CENTERS_XY = np.array([[160.0, 160.0], [400.0, 240.0], [640.0, 480.0]])


@pytest.fixture
def cells() -> np.ndarray:
    return cells_under_spots(RASTER, CENTERS_XY, 200.0)


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).random(RASTER.shape).astype(np.float32)


def test_cells_under_a_spot_fill_its_disc_and_no_more(cells: np.ndarray) -> None:
    expected = np.pi * 100**2 / 16**2
    assert np.bincount(cells[:, 0]) == pytest.approx(expected, rel=0.1)
    distance = RASTER.centers_xy(cells[:, 1], cells[:, 2]) - CENTERS_XY[cells[:, 0]]
    assert np.hypot(*distance.T).max() <= 100


def test_a_spot_over_the_border_keeps_only_cells_of_the_raster() -> None:
    cells = cells_under_spots(RASTER, np.array([[0.0, 0.0]]), 200.0)
    assert 0 < len(cells) < 0.4 * np.pi * 100**2 / 16**2
    assert (cells[:, 1:] >= 0).all()


def test_the_truth_scores_one_whatever_is_added_to_whole_spots(cells: np.ndarray, truth: np.ndarray) -> None:
    shifted = 3 * truth.copy()
    for spot, offset in enumerate((5.0, -2.0, 100.0)):
        _, row, col = cells[cells[:, 0] == spot].T
        shifted[row, col] += offset
    assert within_spot_r(shifted, truth, cells) == pytest.approx(1, abs=1e-4)


def test_a_map_that_is_right_between_spots_but_flat_within_them_has_no_score(
    cells: np.ndarray, truth: np.ndarray
) -> None:
    flat = np.zeros_like(truth)
    for spot in range(3):
        _, row, col = cells[cells[:, 0] == spot].T
        flat[row, col] = truth[row, col].mean()
    assert np.isnan(within_spot_r(flat, truth, cells))


def test_cells_that_were_not_seen_are_left_out(cells: np.ndarray, truth: np.ndarray) -> None:
    seen = truth.copy()
    seen[:, :12] = np.nan
    assert within_spot_r(seen, truth, cells) == pytest.approx(1)
    assert np.isnan(within_spot_r(np.full_like(truth, np.nan), truth, cells))


def test_noise_scores_near_zero(cells: np.ndarray, truth: np.ndarray) -> None:
    noise = np.random.default_rng(1).random(RASTER.shape).astype(np.float32)
    assert abs(within_spot_r(noise, truth, cells)) < 0.2


def test_gaps_of_a_square_array_are_half_a_pitch_off_and_touch_no_spot() -> None:
    spots = np.array([[x, y] for x in (0.0, 400.0, 800.0) for y in (0.0, 400.0)]) + 1000
    gaps = between_spots(spots, 400.0, 200.0)
    assert len(gaps) == 4 * 3  # each corner of each spot once
    assert ((gaps - 1000) % 400 == 200).all()
    everything = np.vstack([spots, gaps])
    apart = np.hypot(*(everything[:, None] - everything).transpose(2, 0, 1)) + 1e9 * np.eye(len(everything))
    assert apart.min() >= 200


def test_spots_without_room_between_them_have_no_gaps() -> None:
    spots = np.array([[x, y] for x in range(0, 500, 100) for y in range(0, 500, 100)], dtype=np.float64)
    assert between_spots(spots, 100.0, 100.0).shape == (0, 2)
