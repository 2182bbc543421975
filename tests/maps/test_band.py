"""Sums of overlapping tiles in a band as high as a tile, and rows that reach the disk chunk by chunk."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from miso.maps.band import Band, RowWriter, blending
from miso.maps.store import BUFFER_BYTES, chunk_shape


def test_tiles_that_overlap_are_averaged_and_untouched_cells_are_nan() -> None:
    band = Band(1, height=2, width=4, top=0)
    band.add(0, 0, np.full((2, 2, 1), 1, np.float32))
    band.add(0, 1, np.full((2, 2, 1), 3, np.float32))
    np.testing.assert_array_equal(band.advance(2)[0], [[1, 2, 3, np.nan]] * 2)


def test_half_overlapping_tiles_weigh_every_cell_alike() -> None:
    total = np.zeros((28, 28))
    for row, col in np.ndindex(5, 5):
        top, left = 7 * row - 7, 7 * col - 7
        rows, columns = (slice(max(start, 0), start + 14) for start in (top, left))
        total[rows, columns] += blending(14)[max(-top, 0) : 28 - top, max(-left, 0) : 28 - left]
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_a_tile_that_is_wrong_at_its_border_leaves_no_step_there() -> None:
    band, bordered = Band(1, height=14, width=42, top=0), np.zeros((14, 14, 1), np.float32)
    bordered[:, [0, -1]] = 1
    for col in range(-7, 42, 7):
        band.add(0, col, bordered)
    assert np.nanmax(band.advance(14)) < 0.02


def test_rows_that_stay_keep_their_sums() -> None:
    band = Band(1, height=2, width=2, top=-1)
    band.add(-1, 0, np.arange(4, dtype=np.float32).reshape(2, 2, 1))
    np.testing.assert_array_equal(band.advance(0)[0], [[0, 1]])
    band.add(0, 0, np.full((2, 2, 1), 4, np.float32))
    np.testing.assert_array_equal(band.advance(2)[0], [[3, 3.5], [4, 4]])


def test_a_tile_off_the_sides_is_cut() -> None:
    band = Band(1, height=3, width=4, top=0)
    tile = np.tile(np.arange(3, dtype=np.float32)[:, None], (3, 1, 1))
    band.add(0, -1, tile)
    band.add(0, 3, tile)
    np.testing.assert_array_equal(band.advance(3)[0, 0], [1, 2, np.nan, 0])


def test_a_tile_outside_the_band_is_our_own_fault() -> None:
    with pytest.raises(ValueError, match="outside the band"):
        Band(1, height=2, width=4, top=0).add(1, 0, np.zeros((2, 2, 1), np.float32))


@pytest.mark.parametrize("steps", [[1] * 23, [3] * 8, [23], [2, 11, 10]])
def test_rows_reach_the_disk_whatever_pieces_they_come_in(steps: list[int], tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((3, 25, 6), dtype=np.float32)
    stored = zarr.create_array(
        tmp_path / "a", shape=(3, 23, 6), chunks=(1, 5, 4), dtype="float32", fill_value=float("nan")
    )
    keep = np.random.default_rng(1).random((23, 6)) < 0.7
    writer, start = RowWriter(stored, keep), -1
    for step in [*steps, 2]:
        writer.put(start, rows[:, start + 1 : start + 1 + step])
        start += step
    writer.close()
    np.testing.assert_array_equal(stored[:], np.where(keep, rows[:, 1:24], np.nan))


def test_rows_left_out_stay_nan(tmp_path: Path) -> None:
    stored = zarr.create_array(
        tmp_path / "a", shape=(1, 40, 2), chunks=(1, 4, 2), dtype="float32", fill_value=0.0
    )
    writer = RowWriter(stored, np.ones((40, 2), dtype=np.bool_))
    writer.put(1, np.ones((1, 2, 2), np.float32))
    writer.put(30, np.ones((1, 2, 2), np.float32))
    writer.close()
    seen = np.flatnonzero(stored[0, :, 0] == 1)
    np.testing.assert_array_equal(seen, [1, 2, 30, 31])
    assert np.isnan(stored[0, [0, 3, 28, 29], 0]).all()


@pytest.mark.parametrize(
    ("n_genes", "rows", "columns", "expected"),
    [
        (1, 3000, 3000, (256, 256)),
        (785, 3000, 3000, (16, 3000)),
        (100, 9, 7, (9, 7)),
        (50, 3000, 3000, (256, 256)),
    ],
)
def test_chunks_are_square_where_memory_allows(
    n_genes: int, rows: int, columns: int, expected: tuple[int, int]
) -> None:
    shape = chunk_shape(n_genes, rows, columns)
    assert shape == expected
    assert 4 * n_genes * shape[0] * columns <= BUFFER_BYTES
