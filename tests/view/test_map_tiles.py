"""Tiles of a map hold its numbers, cell by cell, and means of the cells seen at coarser levels."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from miso.maps import ExpressionMap
from miso.view import map_tiles
from miso.view.map_tiles import MapTiles, halved

Planes = NDArray[np.float32]


def numbers(content: bytes | None, columns: int) -> Planes:
    assert content is not None
    return np.frombuffer(content, dtype="<f4").reshape(-1, columns)


@pytest.fixture
def tiles(map_on: Callable[..., ExpressionMap]) -> MapTiles:
    return MapTiles(map_on())


def test_level_0_is_the_map_itself(tiles: MapTiles, planes: Planes) -> None:
    left, right = (numbers(tiles.tile("1", 0, column, 0), width) for column, width in ((0, 256), (1, 94)))
    np.testing.assert_array_equal(np.hstack([left, right]), planes[1])


def test_the_next_level_has_means_of_the_cells_seen(tiles: MapTiles, planes: Planes) -> None:
    found = numbers(tiles.tile("0", 1, 0, 0), 175)
    wanted = planes[0].reshape(125, 2, 175, 2)[:, :, 10:].mean(axis=(1, 3))
    np.testing.assert_allclose(found[:, 10:], wanted, rtol=1e-6)
    assert np.isnan(found[:, :10]).all()
    assert len(tiles.shapes) == 2


def test_halving_leaves_unseen_cells_out_and_rounds_sizes_up() -> None:
    plane = np.array([[1, np.nan, 5], [3, 8, 5], [np.nan, np.nan, 7]], np.float32)
    np.testing.assert_array_equal(halved(plane), [[4, 5], [np.nan, 7]])


def test_spread_and_novelty_are_planes_too(tiles: MapTiles, planes: Planes) -> None:
    np.testing.assert_allclose(numbers(tiles.tile("s2", 0, 1, 0), 94), planes[2, :, 256:] / 10, rtol=1e-6)
    assert (numbers(tiles.tile("n", 0, 1, 0), 94) == 0.5).all()
    assert tiles.planes == ["0", "1", "2", "s0", "s1", "s2", "n"]


def test_a_map_without_spread_has_no_such_planes(map_on: Callable[..., ExpressionMap]) -> None:
    plain = MapTiles(map_on(std=False))
    assert plain.planes == ["0", "1", "2"]
    assert plain.tile("s0", 0, 0, 0) is None
    assert plain.tile("n", 0, 0, 0) is None


def test_a_selection_shows_the_genes_selected(map_on: Callable[..., ExpressionMap], planes: Planes) -> None:
    chosen = MapTiles(map_on().select(["=cmd()"]))
    np.testing.assert_array_equal(numbers(chosen.tile("0", 0, 1, 0), 94), planes[2, :, 256:])
    assert chosen.tile("1", 0, 0, 0) is None


def test_percentiles_are_of_the_cells_seen(tiles: MapTiles, planes: Planes) -> None:
    found = tiles.percentiles("0")
    assert found is not None
    np.testing.assert_allclose(found, np.nanpercentile(planes[0], np.arange(101)), rtol=1e-6)


def test_strips_and_an_even_sample_change_little(
    tiles: MapTiles, planes: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_tiles, "STRIP_CELLS", 350 * 7)
    monkeypatch.setattr(map_tiles, "SAMPLED", 10_000)
    found = tiles.percentiles("0")
    assert found is not None
    np.testing.assert_allclose(found[1:-1], np.nanpercentile(planes[0], np.arange(1, 100)), atol=0.03)
    np.testing.assert_allclose(
        numbers(tiles.tile("0", 1, 0, 0), 175)[:, 10:],
        planes[0].reshape(125, 2, 175, 2)[:, :, 10:].mean(axis=(1, 3)),
        rtol=1e-6,
    )


@pytest.mark.parametrize("plane", ["3", "-1", "s9", "00", "٣", "x", "", "s", "1e0", "9999999", "../0"])
def test_what_is_no_plane_has_no_tile(tiles: MapTiles, plane: str) -> None:
    assert tiles.tile(plane, 0, 0, 0) is None
    assert tiles.percentiles(plane) is None


def test_there_is_no_tile_beyond_the_map(tiles: MapTiles) -> None:
    for place in ((0, 2, 0), (0, 0, 1), (2, 0, 0), (-1, 0, 0), (0, -1, 0), (1, 1, 0)):
        assert tiles.tile("0", *place) is None
