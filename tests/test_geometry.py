"""The conventions of frames, as assertions: (x, y), level-0 pixels, row-major patches, corners, centres."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from miso.geometry import PatchGrid, Raster, TileGrid, TileSpec, lattice_pitch_px

mpps = st.floats(0.1, 4.0)
points = arrays(np.float64, st.tuples(st.integers(1, 6), st.just(2)), elements=st.floats(-1e5, 1e5))
tiles = st.builds(TileSpec, size_px=st.integers(1, 64).map(lambda n: 16 * n), mpp=mpps)


@st.composite
def grids(draw, max_side=8):
    patch, side = draw(st.integers(1, 32)), draw(st.integers(1, max_side))
    return PatchGrid(tile=TileSpec(size_px=patch * side, mpp=draw(mpps)), patch_px=patch)


def test_a_tile_of_112_um_spans_half_as_many_pixels_on_a_slide_half_as_fine():
    tile = TileSpec(size_px=224, mpp=0.5)
    assert tile.side_um == 112
    assert tile.side_on(0.25) == 448
    assert tile.side_on(1.0) == 112
    np.testing.assert_array_equal(tile.origin_xy(np.array([1000.0, 500.0]), 0.25), [776, 276])


@given(tiles, points, mpps)
def test_centre_to_origin_and_back_is_the_centre(tile, center_xy, slide_mpp):
    there = tile.origin_xy(center_xy, slide_mpp)
    np.testing.assert_allclose(tile.center_xy(there, slide_mpp), center_xy, atol=1e-6)
    assert (there < center_xy).all()


def test_patches_count_along_rows_first_then_down():
    grid = PatchGrid(tile=TileSpec(size_px=48, mpp=0.5), patch_px=16)
    x, y = grid.centers_xy(np.array([100.0, 200.0]), 0.5).T
    np.testing.assert_allclose(x, [84, 100, 116] * 3)
    np.testing.assert_allclose(y, [184] * 3 + [200] * 3 + [216] * 3)


@given(grids(), points, mpps)
def test_patch_centres_average_to_the_tile_centre_and_stay_in_the_tile(grid, center_xy, slide_mpp):
    patches = grid.centers_xy(center_xy, slide_mpp)
    assert patches.shape == (len(center_xy), grid.n_patches, 2)
    np.testing.assert_allclose(patches.mean(axis=1), center_xy, atol=1e-5)
    reach = (grid.tile.side_on(slide_mpp) - grid.patch_um / slide_mpp) / 2
    np.testing.assert_allclose(np.abs(patches - center_xy[:, None]).max(axis=1), reach, atol=1e-5)


def test_patches_that_do_not_divide_the_tile_are_refused():
    with pytest.raises(ValueError, match="16 px do not divide a tile of 200 px"):
        PatchGrid(tile=TileSpec(size_px=200), patch_px=16)


@given(grids(), st.floats(0.3, 3.0))
def test_disc_weights_sum_to_one_and_have_the_symmetries_of_the_square(grid, share_of_tile):
    weights = grid.disc_weights(share_of_tile * grid.tile.side_um)
    square = weights.reshape(grid.side, grid.side)
    assert weights.dtype == np.float32
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert (weights >= 0).all()
    for other in (square[::-1], square[:, ::-1], square.T):
        np.testing.assert_array_equal(other, square)


@given(grids())
def test_a_disc_about_the_whole_tile_weights_all_patches_alike(grid):
    weights = grid.disc_weights(1.5 * grid.tile.side_um)  # √2 reaches the corners
    np.testing.assert_allclose(weights, 1 / grid.n_patches, rtol=1e-6)


def test_disc_weights_are_the_share_of_each_patch_in_the_disc():
    grid = PatchGrid(tile=TileSpec(size_px=224, mpp=0.5), patch_px=16)
    weights = grid.disc_weights(100).reshape(14, 14)
    covered = weights / weights.max()  # the middle patches lie wholly inside
    assert covered.sum() * grid.patch_um**2 == pytest.approx(np.pi * 50**2, rel=5e-3)
    assert weights[0, 0] == 0
    assert 0 < covered[0, 5] < 1
    assert (covered[4:10, 4:10] == 1).all()


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.5, 500.0), st.data())
def test_the_cell_of_a_cell_centre_is_that_cell(width, height, step_px, data):
    raster = Raster.over((width, height), step_px)
    row = data.draw(st.integers(-3, raster.shape[0] + 3))
    col = data.draw(st.integers(-3, raster.shape[1] + 3))
    center_xy = raster.centers_xy(np.array([row]), np.array([col]))
    np.testing.assert_array_equal(raster.cells_of(center_xy), [[row, col]])
    inside = 0 <= row < raster.shape[0] and 0 <= col < raster.shape[1]
    assert raster.contains(np.array([[row, col]])).tolist() == [inside]


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.5, 500.0), st.data())
def test_every_place_on_the_slide_lies_in_a_cell_of_its_raster(width, height, step_px, data):
    raster = Raster.over((width, height), step_px)
    x = data.draw(st.floats(0, 1)) * width * (1 - 1e-4)
    y = data.draw(st.floats(0, 1)) * height * (1 - 1e-4)
    assert raster.contains(raster.cells_of(np.array([[x, y]]))).all()


def test_a_raster_names_its_cells_by_row_and_column_but_its_places_by_x_and_y():
    raster = Raster.over((100, 30), 10.0)
    assert raster.shape == (3, 10)
    np.testing.assert_array_equal(
        raster.cells_of(np.array([[95.0, 25.0], [9.99, 0.0], [10.0, 0.0]])), [[2, 9], [0, 0], [0, 1]]
    )
    np.testing.assert_array_equal(raster.centers_xy(np.array([2]), np.array([9])), [[95, 25]])
    assert Raster.over((101, 30), 10.0).shape == (3, 11)


def covered(grid):
    """How many tiles lie over each cell of a tile grid's raster."""
    counts = np.zeros(grid.raster.shape, dtype=int)
    cells = grid.first_cells()
    assert (np.diff(cells[:, 0]) >= 0).all()
    for row, col in cells.tolist():
        counts[max(row, 0) : max(row + grid.side, 0), max(col, 0) : max(col + grid.side, 0)] += 1
    return counts


@given(
    side=st.sampled_from([1, 2, 3, 4, 6]),
    overlap=st.integers(1, 6),
    shifts_px=st.sampled_from([((0, 0),), ((0, 0), (8, 8)), ((0, 0), (24, 4), (0, 16))]),
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    slide_mpp=st.floats(0.2, 1.0),
)
def test_every_cell_is_seen_by_as_many_tiles_whatever_the_size_of_the_slide(
    side, overlap, shifts_px, width, height, slide_mpp
):
    assume(side % overlap == 0)
    patches = PatchGrid(tile=TileSpec(size_px=side * 16, mpp=0.5), patch_px=16)
    grid = TileGrid(
        patches=patches,
        stride_px=side // overlap * 16,
        slide_size_px=(width, height),
        slide_mpp=slide_mpp,
        shifts_px=shifts_px,
    )
    assert (covered(grid) == len(shifts_px) * overlap**2).all()


@pytest.mark.parametrize(
    ("stride_px", "shift_px", "cell_px"), [(112, 0, 16), (56, 0, 8), (7, 0, 1), (224, 8, 8), (224, 120, 8)]
)
def test_a_cell_is_what_patches_strides_and_shifts_are_made_of(stride_px, shift_px, cell_px):
    grid = TileGrid(
        patches=PatchGrid(tile=TileSpec(), patch_px=16),
        stride_px=stride_px,
        slide_size_px=(500, 300),
        slide_mpp=0.5,
        shifts_px=((0, 0), (shift_px, shift_px)),
    )
    assert (grid.cell_px, grid.cell_um, grid.side) == (cell_px, cell_px / 2, 224 // cell_px)
    assert grid.raster.step_px == cell_px


def test_no_tile_of_the_grid_lies_wholly_off_the_slide():
    patches = PatchGrid(tile=TileSpec(size_px=64, mpp=0.5), patch_px=16)
    grid = TileGrid(patches=patches, stride_px=32, slide_size_px=(130, 97), slide_mpp=0.5)
    assert grid.raster.shape == (7, 9)
    assert grid.first_cells()[0].tolist() == [-2, -2]
    assert (grid.first_cells()[-1] * 16 < [97, 130]).all()
    assert grid.slide_tile_px == (97, 130)


@pytest.mark.parametrize(("slide_mpp", "length"), [(0.5, 301), (0.25, 150), (0.688, 414), (250.0, 150500)])
def test_the_slide_spans_whole_tile_pixels(slide_mpp, length):
    patches = PatchGrid(tile=TileSpec(size_px=64, mpp=0.5), patch_px=16)
    grid = TileGrid(patches=patches, stride_px=32, slide_size_px=(1, 301), slide_mpp=slide_mpp)
    assert grid.slide_tile_px[0] == length
    assert grid.slide_tile_px[1] >= 1


@pytest.mark.parametrize("stride_px", [0, -112, 448])
def test_tiles_that_leave_gaps_are_refused(stride_px):
    patches = PatchGrid(tile=TileSpec(size_px=224, mpp=0.5), patch_px=16)
    with pytest.raises(ValueError, match="tiles of 224 px lie 1 to 224 px apart"):
        TileGrid(patches=patches, stride_px=stride_px, slide_size_px=(1000, 1000), slide_mpp=0.5)


LATTICE = np.array([[x, y] for y in range(6) for x in range(8)], dtype=np.float64)


@given(st.floats(0, 2 * np.pi), st.booleans(), st.floats(1, 1000), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_the_lattice_pitch_is_found_under_rotation_flip_scale_and_shift(angle, flip, pitch, x, y):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if flip:
        turn = turn @ np.diag([-1, 1])
    assert lattice_pitch_px(LATTICE, LATTICE @ turn.T * pitch + [x, y]) == pytest.approx(pitch, rel=1e-6)


def test_the_lattice_pitch_is_little_moved_by_jitter_and_by_missing_spots():
    rng = np.random.default_rng(0)
    array = LATTICE[rng.permutation(len(LATTICE))[:30]]
    assert lattice_pitch_px(array, array * 290 + rng.normal(0, 5, array.shape)) == pytest.approx(
        290, rel=0.01
    )


@pytest.mark.parametrize(
    "array",
    [LATTICE[:2], LATTICE[:8], np.zeros((5, 2)), np.empty((0, 2)), np.array([[i, 2 * i] for i in range(9)])],
    ids=["two", "a row", "one place", "none", "a diagonal"],
)
def test_spots_on_one_line_have_no_pitch(array):
    with pytest.raises(ValueError, match="at least three spots that are not on one line"):
        lattice_pitch_px(array, array * 290.0)


@pytest.mark.parametrize("flat", [[1.0, 0.0], [0.0, 0.0]], ids=["a line", "a point"])
def test_a_lattice_whose_pixels_lie_on_one_line_has_no_pitch(flat):
    with pytest.raises(ValueError, match="not on one line"):
        lattice_pitch_px(LATTICE, LATTICE * 290 * flat)


def test_a_bin_of_a_patch_s_size_about_the_tile_centre_weights_the_four_middle_patches_alike() -> None:
    weights = PatchGrid(tile=TileSpec(), patch_px=16).square_weights(8.0).reshape(14, 14)
    assert weights[6:8, 6:8].tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert weights.sum() == 1


def test_a_square_as_large_as_the_tile_weights_all_patches_alike() -> None:
    grid = PatchGrid(tile=TileSpec(), patch_px=16)
    np.testing.assert_allclose(grid.square_weights(112.0), 1 / 196, rtol=1e-6)
    np.testing.assert_allclose(grid.square_weights(500.0), 1 / 196, rtol=1e-6)


def test_a_disc_smaller_than_the_points_it_is_counted_on_lies_on_the_middle_patches() -> None:
    weights = PatchGrid(tile=TileSpec(), patch_px=16).disc_weights(0.1).reshape(14, 14)
    assert weights[6:8, 6:8].sum() == 1
