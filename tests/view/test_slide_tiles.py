"""Deep Zoom tiles show the place that their numbers say, at every level, to the slide's border."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from miso.slides import Slide, open_slide
from miso.view import slide_tiles
from miso.view.slide_tiles import SlideTiles


@pytest.fixture
def tiles(slide_path: Path) -> SlideTiles:
    return SlideTiles(open_slide(slide_path, 0.5))


def pixels(content: bytes | None) -> NDArray[np.float64]:
    assert content is not None
    return np.asarray(Image.open(io.BytesIO(content)), dtype=np.float64)


def misplaced(tiles: SlideTiles, level: int) -> float:
    """How far, in level-0 px, the pixels of a tile lie on average from where their colours say, at worst."""
    scale, columns_rows, worst = 2 ** (tiles.n_levels - 1 - level), tiles.shape(level), 0.0
    for column, row in itertools.product(*map(range, columns_rows)):
        rgb = pixels(tiles.tile(level, column, row))
        for axis, at in ((1, column), (0, row)):
            wanted = (at * 512 + np.arange(rgb.shape[axis]) + 0.5) * scale - 0.5
            found = rgb[..., 1 - axis].mean(axis=1 - axis) * 3 + 1  # a third, rounded down
            whole = wanted + scale / 2 < (700, 500)[1 - axis]  # beyond the border there is nothing to mix
            worst = max(worst, abs(float((found - wanted)[whole].mean())))
    return worst


def test_levels_halve_from_the_full_resolution_to_one_pixel(tiles: SlideTiles) -> None:
    assert tiles.n_levels == 11
    assert [tiles.size_px(level) for level in (10, 9, 8, 1, 0)] == [
        (700, 500),
        (350, 250),
        (175, 125),
        (2, 1),
        (1, 1),
    ]
    assert [tiles.shape(level) for level in (10, 9, 0)] == [(2, 1), (1, 1), (1, 1)]


@pytest.mark.parametrize("level", [10, 9, 8, 7])
def test_every_pixel_of_a_tile_lies_where_the_slide_has_it(tiles: SlideTiles, level: int) -> None:
    assert misplaced(tiles, level) < 1  # half a pixel of level 7 were 4


def test_coarse_tiles_of_a_flat_slide_come_from_one_overview(
    tiles: SlideTiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slide_tiles, "DIRECT", 1)
    monkeypatch.setattr(slide_tiles, "OVERVIEW_PX", 350)
    assert misplaced(tiles, 8) < 0.5
    rgb = pixels(tiles.tile(0, 0, 0))
    np.testing.assert_allclose(rgb[0, 0, :2], [700 / 6, 500 / 6], atol=4)


def test_there_is_no_tile_beyond_the_slide_or_its_levels(tiles: SlideTiles) -> None:
    for place in ((10, 2, 0), (10, 0, 1), (11, 0, 0), (-1, 0, 0), (10, -1, 0), (0, 1, 0)):
        assert tiles.tile(*place) is None


def test_edge_tiles_are_as_large_as_the_level_is(tiles: SlideTiles) -> None:
    assert pixels(tiles.tile(10, 1, 0)).shape == (500, 188, 3)


def test_a_slide_one_pixel_wide_has_tiles(save: Callable[..., Slide]) -> None:
    thin = SlideTiles(save(np.full((600, 1, 3), 90, np.uint8), 0.5, "thin.png"))
    assert thin.shape(thin.n_levels - 1) == (1, 2)
    assert pixels(thin.tile(0, 0, 0)).shape == (1, 1, 3)
