"""Sums of overlapping windows in a band as high as a window, from top to bottom."""

import numpy as np
import pytest

from miso.maps.band import Band
from miso.maps.border import Axis

ALIKE = np.ones((2, 2), np.float32)


def axes(side: int, *phases: list[float]) -> tuple[Axis, Axis]:
    """Weights along columns, by phase and cell; along rows all weigh alike."""
    even = np.ones((1, 99), np.float32)
    return tuple(Axis(weights=weights, side=side) for weights in (even, np.array(phases or even, np.float32)))


def test_windows_that_overlap_are_averaged_and_untouched_cells_are_nan() -> None:
    band = Band(1, ALIKE, axes(2), width=4, top=0)
    band.add(0, 0, np.full((2, 2, 1), 1, np.float32))
    band.add(0, 1, np.full((2, 2, 1), 3, np.float32))
    np.testing.assert_array_equal(band.advance(2)[0], [[1, 2, 3, np.nan]] * 2)


def test_the_heavier_cell_counts_more() -> None:
    band = Band(1, np.array([[3, 1]] * 2, np.float32), axes(2), width=3, top=0)
    band.add(0, 0, np.full((2, 2, 1), 4, np.float32))
    band.add(0, 1, np.full((2, 2, 1), 8, np.float32))
    np.testing.assert_array_equal(band.advance(2)[0, 0], [4, (4 + 3 * 8) / 4, 8])


def test_a_patch_of_several_cells_fills_them_all() -> None:
    band = Band(1, np.ones((4, 4), np.float32), axes(4), width=6, top=0)
    band.add(0, 1, np.arange(4, dtype=np.float32).reshape(2, 2, 1))
    np.testing.assert_array_equal(
        band.advance(4)[0], [[np.nan, 0, 0, 1, 1, np.nan]] * 2 + [[np.nan, 2, 2, 3, 3, np.nan]] * 2
    )


def test_patches_count_by_the_phase_and_the_cell_of_the_axis() -> None:
    band = Band(1, np.ones((4, 4), np.float32), axes(4, [1, 2, 1, 1, 1], [3, 1, 1, 0.5, 1]), width=5, top=0)
    band.add(0, -1, np.full((2, 2, 1), 8, np.float32))  # patches on cells -1 and 0, and on 1 and 2
    band.add(0, 0, np.full((2, 2, 1), 2, np.float32))
    expected = [(3 * 8 + 2) / 4, (8 + 2 * 2) / 3, 5, 2, np.nan]
    np.testing.assert_allclose(band.advance(4)[0, 0], expected, rtol=1e-6)


def test_rows_that_stay_keep_their_sums() -> None:
    band = Band(1, ALIKE, axes(2), width=2, top=-1)
    band.add(-1, 0, np.arange(4, dtype=np.float32).reshape(2, 2, 1))
    np.testing.assert_array_equal(band.advance(0)[0], [[0, 1]])
    band.add(0, 0, np.full((2, 2, 1), 4, np.float32))
    np.testing.assert_array_equal(band.advance(2)[0], [[3, 3.5], [4, 4]])


def test_a_window_off_the_sides_is_cut() -> None:
    band = Band(1, np.ones((3, 3), np.float32), axes(3), width=4, top=0)
    window = np.tile(np.arange(3, dtype=np.float32)[:, None], (3, 1, 1))
    band.add(0, -1, window)
    band.add(0, 3, window)
    np.testing.assert_array_equal(band.advance(3)[0, 0], [1, 2, np.nan, 0])


@pytest.mark.parametrize(("row", "side"), [(1, 2), (0, 3)])
def test_a_window_that_does_not_fit_is_our_own_fault(row: int, side: int) -> None:
    with pytest.raises(ValueError, match="does not fit the band, which spans 0 to 2"):
        Band(1, ALIKE, axes(2), width=2, top=0).add(row, 0, np.zeros((side, side, 1), np.float32))
