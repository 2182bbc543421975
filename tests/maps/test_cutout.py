"""A part of a slide is read where it lies, and asked for in words that are checked."""

import logging
from collections.abc import Callable

import numpy as np
import pytest
import shapely

from miso.errors import MapError, RegionError
from miso.maps import ExpressionMap
from miso.maps.cutout import Cutout, box_about, box_about_regions, picture_of
from miso.maps.regions import Region
from miso.maps.thumbnail import Box, Thumbnail
from miso.slides import Slide

Save = Callable[..., Slide]
NOISE = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)


def test_a_box_lies_about_its_centre() -> None:
    box = box_about((100, 50), 20, 0.5, (400, 300))
    assert box == Box(left=80, top=30, right=120, bottom=70)
    assert box.size_px == (40, 40)


@pytest.mark.parametrize("at", [(-30, 10), (10, -30), (430, 10), (10, 330)])
def test_a_box_off_the_slide_is_refused(at: tuple[float, float]) -> None:
    with pytest.raises(MapError, match=r"lies off the slide of 400 × 300 px"):
        box_about(at, 20, 0.5, (400, 300))


@pytest.mark.parametrize("width", [0, -5, float("nan"), float("inf")])
def test_a_box_without_a_size_is_refused(width: float) -> None:
    with pytest.raises(MapError, match=r"a width above 0 µm"):
        box_about((10, 10), width, 0.5, (400, 300))


def test_a_cutout_has_the_slides_own_pixels(save: Save) -> None:
    cut = Cutout.of(save(NOISE), Box(left=33, top=21, right=133, bottom=91))
    np.testing.assert_array_equal(cut.rgb, NOISE[21:91, 33:133])


def test_a_cutout_is_white_off_the_slide(save: Save) -> None:
    cut = Cutout.of(save(NOISE), Box(left=-10, top=0, right=90, bottom=100))
    assert (cut.rgb[:, :10] == 255).all()
    np.testing.assert_array_equal(cut.rgb[:, 10:], NOISE[:100, :90])


def test_a_large_cutout_is_shrunk(save: Save) -> None:
    cut = Cutout.of(save(NOISE), Box(left=0, top=0, right=400, bottom=300), max_px=100)
    assert cut.rgb.shape == (75, 100, 3)


def test_regions_are_shown_with_a_margin_on_the_slide() -> None:
    drawn = [
        Region(name="a", polygon=shapely.box(100, 50, 200, 90)),
        Region(name="b", polygon=shapely.box(5, 60, 9, 70)),
    ]
    assert box_about_regions(drawn, (400, 300)) == Box(left=0, top=40, right=210, bottom=100)


def test_regions_off_the_slide_are_refused() -> None:
    with pytest.raises(RegionError, match="off the slide"):
        box_about_regions([Region(name="a", polygon=shapely.box(1000, 50, 2000, 90))], (400, 300))


def test_the_whole_slide_is_the_thumbnail(map_of: Callable[..., ExpressionMap]) -> None:
    made = map_of({"G": np.ones((30, 40), np.float32)})
    assert picture_of(made, made.thumbnail.box) is made.thumbnail


def test_without_the_slide_the_thumbnail_is_shown(
    map_of: Callable[..., ExpressionMap], caplog: pytest.LogCaptureFixture
) -> None:
    made = map_of({"G": np.ones((30, 40), np.float32)})
    with caplog.at_level(logging.WARNING):
        shown = picture_of(made, Box(left=0, top=0, right=100, bottom=100))
    assert isinstance(shown, Thumbnail)
    assert "what is shown is the map's thumbnail" in caplog.text
