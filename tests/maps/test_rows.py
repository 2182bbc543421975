"""Rows reach the disk chunk by chunk, whatever pieces they come in, and those that are there stay."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from miso.maps.rows import RowWriter


def stored(folder: Path, planes: int = 3, fill: float = float("nan")) -> zarr.Array[Any]:
    return zarr.create_array(
        folder, shape=(planes, 23, 6), chunks=(1, 5, 4), dtype="float32", fill_value=fill
    )


@pytest.mark.parametrize("steps", [[1] * 23, [3] * 8, [23], [2, 11, 10]])
def test_rows_reach_the_disk_whatever_pieces_they_come_in(steps: list[int], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    many, one = rng.random((3, 25, 6), dtype=np.float32), rng.random((1, 25, 6), dtype=np.float32)
    arrays = [stored(tmp_path / "a"), stored(tmp_path / "b", planes=1)]
    keep = rng.random((23, 6)) < 0.7
    writer, start = RowWriter(arrays, keep), -1
    for step in [*steps, 2]:
        part = slice(start + 1, start + 1 + step)
        writer.put(start, [many[:, part], one[:, part]])
        start += step
    writer.finish()
    for array, rows in zip(arrays, (many, one), strict=True):
        np.testing.assert_array_equal(array[:], np.where(keep, rows[:, 1:24], np.nan))


def test_rows_left_out_stay_nan(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a", shape=(1, 40, 2), chunks=(1, 4, 2), dtype="float32", fill_value=0.0
    )
    writer = RowWriter([array], np.ones((40, 2), dtype=np.bool_))
    writer.put(1, [np.ones((1, 2, 2), np.float32)])
    writer.put(30, [np.ones((1, 2, 2), np.float32)])
    writer.finish()
    seen = np.flatnonzero(array[0, :, 0] == 1)
    np.testing.assert_array_equal(seen, [1, 2, 30, 31])
    assert np.isnan(array[0, [0, 3, 28, 29], 0]).all()


def test_rows_that_are_written_already_are_left_as_they_are(tmp_path: Path) -> None:
    array, keep = stored(tmp_path / "a", planes=1, fill=7.0), np.ones((23, 6), dtype=np.bool_)
    writer = RowWriter([array], keep, written=10)
    writer.put(6, [np.ones((1, 17, 6), np.float32)])
    assert writer.written == 20
    writer.finish()
    np.testing.assert_array_equal(array[0, :, 0], [7] * 10 + [1] * 13)


def test_it_says_how_many_rows_are_safe(tmp_path: Path) -> None:
    writer = RowWriter([stored(tmp_path / "a", planes=1)], np.ones((23, 6), dtype=np.bool_))
    safe = []
    for row in range(0, 23, 3):
        writer.put(row, [np.ones((1, 3, 6), np.float32)])
        safe.append(writer.written)
    assert safe == [0, 5, 5, 10, 10, 15, 20, 20]


@pytest.mark.parametrize("width", [2, 6])
@pytest.mark.parametrize("steps", [[1] * 23, [3] * 8, [23], [2, 11, 10]])
def test_rows_that_wait_on_disk_come_to_the_same(steps: list[int], width: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    many, keep = rng.random((7, 23, 6), dtype=np.float32), rng.random((23, 6)) < 0.7
    for name, spill in (("memory", None), ("disk", tmp_path)):
        array = zarr.create_array(
            tmp_path / name, shape=(7, 23, 6), chunks=(1, 5, width), shards=(3, 5, width), dtype="float32"
        )
        writer, start = RowWriter([array], keep, spill=spill), 0
        for step in steps:
            if start != 3:  # rows left out
                writer.put(start, [many[:, start : start + step]])
            start += step
        writer.finish()
        writer.close()
    found = {path.relative_to(tmp_path / "disk"): path for path in (tmp_path / "disk").rglob("c/*/*/*")}
    assert len(found) == 3 * 5 * 6 // width
    for name, file in found.items():
        assert (tmp_path / "memory" / name).read_bytes() == file.read_bytes()


def test_a_band_ends_where_the_next_begins(tmp_path: Path) -> None:
    array, keep = stored(tmp_path / "a", planes=1, fill=7.0), np.ones((23, 6), dtype=np.bool_)
    writer = RowWriter([array], keep, written=5, stop=15)
    writer.put(0, [np.ones((1, 12, 6), np.float32)])
    writer.put(12, [np.ones((1, 11, 6), np.float32)])
    writer.finish()
    assert writer.written >= 15
    np.testing.assert_array_equal(array[0, :, 0], [7] * 5 + [1] * 10 + [7] * 8)
