"""Weights of patches, and the slide mirrored, where a map ends with its slide."""

import numpy as np
import pytest

from miso.geometry import PatchGrid, TileGrid, TileSpec
from miso.maps.border import FAINT, axes_of, mirrored


def grid_of(height_px: int, stride_px: int) -> TileGrid:
    patches = PatchGrid(tile=TileSpec(size_px=64), patch_px=16)
    return TileGrid(patches=patches, stride_px=stride_px, slide_size_px=(256, height_px), slide_mpp=0.5)


@pytest.mark.parametrize("length", [1, 3, 40])
def test_a_slide_is_mirrored_as_often_as_needed(length: int) -> None:
    folded = np.pad(np.arange(length), 64, mode="symmetric")
    np.testing.assert_array_equal(mirrored(np.arange(-64, length + 64), length), folded)


def test_inside_the_slide_all_patches_weigh_alike() -> None:
    rows, columns = axes_of(grid_of(256, 8))
    np.testing.assert_array_equal(rows.weights[:, 1:-1], 1)
    np.testing.assert_array_equal(rows.weights, columns.weights)


def test_the_outermost_half_patch_is_told_by_the_patch_that_shows_it_twice() -> None:
    rows, _ = axes_of(grid_of(256, 8))
    np.testing.assert_array_equal(rows.weights[:, 0], [FAINT, 1])  # from 0 on, and from 8 px before the edge
    np.testing.assert_array_equal(rows.weights[:, -1], [FAINT, 1])


def test_a_slide_that_ends_within_a_cell_balances_what_its_patches_show() -> None:
    rows, _ = axes_of(grid_of(250, 8))  # cell 30 ends at 248; its patches show 232 to 248, and 240 to 250
    shown = np.array([240, (10 * 245 + 6 * 247) / 16])
    weights = rows.weights[[1, 0], 30]
    assert weights[1] == 1
    assert (weights * shown).sum() / weights.sum() == pytest.approx(244)


def test_where_cells_are_patches_nothing_is_weighed() -> None:
    rows, _ = axes_of(grid_of(250, 16))
    np.testing.assert_array_equal(rows.weights, 1)


def test_a_window_takes_the_weights_of_its_cells_and_those_off_the_map_do_not_matter() -> None:
    rows, _ = axes_of(grid_of(256, 8))
    np.testing.assert_array_equal(rows.of_window(-1), [1, *[1] * 7])
    np.testing.assert_array_equal(rows.of_window(0), [FAINT, *[1] * 7])
    np.testing.assert_array_equal(rows.of_window(28), [1, 1, 1, FAINT, 1, 1, 1, 1])


def test_cells_finer_than_half_a_patch_are_told_by_the_nearest() -> None:
    rows, _ = axes_of(grid_of(256, 4))
    np.testing.assert_array_equal(rows.weights[:, 0], [FAINT, FAINT, 1, FAINT])  # 8 px before the edge
