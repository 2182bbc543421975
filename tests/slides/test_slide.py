"""Reading: the right pixels at the right place, at any resolution, white off the slide, from any thread."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from miso.errors import SlideError
from miso.slides import open_slide
from miso.slides.flat import FlatSlide
from miso.slides.pyramid import PyramidSlide


@pytest.fixture(params=["pyramid", "png", "strips.tif"])
def open_as(request, tmp_path, pyramid):
    """Open an image at 0.5 µm/px, once through openslide and twice through libvips."""
    opened = []

    def save_and_open(image):
        path = tmp_path / f"flat.{request.param}"
        if request.param == "pyramid":
            path = pyramid(image)
        else:
            Image.fromarray(image).save(path)
        opened.append(open_slide(path, 0.5))
        assert isinstance(opened[-1], PyramidSlide if request.param == "pyramid" else FlatSlide)
        return opened[-1]

    yield save_and_open
    for slide in opened:
        slide.close()


def around(image, origin_xy, size_px, white=255):
    """The region of an image, by indexing a larger white one."""
    (x, y), (width, height) = origin_xy, size_px
    margin = 1000
    canvas = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), constant_values=white)
    return canvas[margin + y : margin + y + height, margin + x : margin + x + width]


def test_the_size_is_width_then_height(open_as, noise):
    assert open_as(noise).size_px == (400, 300)


@pytest.mark.parametrize("origin", [(0, 0), (17, 231), (350, 250), (63, 64)])
def test_at_its_own_resolution_pixels_are_copied_exactly(open_as, noise, origin):
    read = open_as(noise).read(origin, (50, 40), 0.5)
    assert read.shape == (40, 50, 3)
    np.testing.assert_array_equal(read, around(noise, origin, (50, 40)))


def test_a_fractional_corner_is_copied_from_the_nearest_pixel(open_as, noise):
    slide = open_as(noise)
    np.testing.assert_array_equal(slide.read((10.4, 20.6), (8, 8), 0.5), noise[21:29, 10:18])


@pytest.mark.parametrize(
    "origin",
    [*product([-30, 100, 370], [-30, 100, 270]), (-500, 0), (0, -500), (400, 0), (0, 300), (900, 900)],
    ids=str,
)
def test_off_the_slide_it_is_white_on_every_side(open_as, noise, origin):
    read = open_as(noise).read(origin, (60, 60), 0.5)
    np.testing.assert_array_equal(read, around(noise, origin, (60, 60)))


def test_a_region_larger_than_the_slide_holds_it_whole_in_white(open_as, noise):
    read = open_as(noise).read((-5, -7), (420, 330), 0.5)
    np.testing.assert_array_equal(read, around(noise, (-5, -7), (420, 330)))


def test_resampled_reads_are_white_off_the_slide_too(open_as, noise):
    slide = open_as(noise // 4)
    for mpp, origin in product((0.31, 0.83), ((-200, 50), (450, 50), (50, -200), (50, 350))):
        assert (slide.read(origin, (40, 40), mpp) == 255).all(), (mpp, origin)
    half = slide.read((-64, 100), (128, 20), 0.8)[:, :, 0]
    border = 64 / 1.6  # columns of the result that lie left of the slide
    assert (half[:, : int(border) - 2] == 255).all()
    assert half[:, int(border) + 2 :].max() < 120


def test_no_white_is_mixed_into_what_lies_on_the_slide(open_as, noise):
    slide = open_as(np.full_like(noise, 90))
    for mpp, origin in product((0.31, 0.83, 1.3), ((-20.0, -30.5), (380, 280))):
        seen = slide.read(origin, (80, 80), mpp)[..., 0]
        assert set(np.unique(seen)) == {90, 255}, (mpp, origin)


@pytest.mark.parametrize("mpp", [0.2, 0.45, 0.5, 0.61, 0.9, 1.0, 1.31, 2.0, 2.9])
@pytest.mark.parametrize("origin", [(50.0, 40.0), (51.37, 38.71)], ids=["whole", "fractional"])
def test_a_resampled_read_lands_where_it_should(open_as, slope, mpp, origin):
    """One grey level is one level-0 pixel; libvips rounds its pyramid up by half a grey level."""
    size = (24, 20)
    read = open_as(slope).read(origin, size, mpp).astype(float)
    x = origin[0] + (np.arange(size[0]) + 0.5) * mpp / 0.5
    y = origin[1] + (np.arange(size[1]) + 0.5) * mpp / 0.5
    copied = mpp in (0.5, 1.0, 2.0)  # perhaps a whole level: copied from its nearest pixel
    tolerance = 0.7 + (mpp / 0.5 / 2 if copied else 0)
    assert abs((read[..., 0] - (9.5 + x)[None, :]).mean()) < tolerance
    assert abs((read[..., 1] - (9.5 + y)[:, None]).mean()) < tolerance
    np.testing.assert_allclose(read[..., 0], np.broadcast_to(9.5 + x, read.shape[:2]), atol=tolerance + 0.6)
    assert (read[..., 2] == 90).all()


def test_a_dot_keeps_its_place_to_a_tenth_of_a_pixel(open_as):
    image = np.full((200, 200, 3), 255, np.uint8)
    image[96:104, 60:68] = 0  # centre at (64, 100)
    slide = open_as(image)
    for mpp, origin in product((0.23, 0.37, 0.71), ((40.0, 80.0), (41.3, 79.2))):
        dark = 255.0 - slide.read(origin, (110, 110), mpp)[..., 0]
        rows, columns = np.indices(dark.shape) + 0.5
        x = origin[0] + (dark * columns).sum() / dark.sum() * mpp / 0.5
        y = origin[1] + (dark * rows).sum() / dark.sum() * mpp / 0.5
        assert (x, y) == pytest.approx((64, 100), abs=0.1), (mpp, origin)


@pytest.mark.parametrize("mpp", [0.31, 0.83, 1.7])
def test_a_tile_is_a_cut_out_of_a_larger_read(open_as, noise, mpp):
    """Resampling looks beyond the tile's border, so that neighbouring tiles meet without a seam."""
    slide = open_as(noise)
    step = mpp / 0.5
    large = slide.read((60, 40), (60, 60), mpp).astype(int)
    small = slide.read((60 + 20 * step, 40 + 20 * step), (20, 20), mpp)
    assert np.abs(small - large[20:40, 20:40]).max() <= 1


def test_tiles_that_a_scanner_left_out_are_white(tmp_path):
    """Sparse files: openslide calls such places transparent."""
    grey = np.full((64, 64, 3), 70, np.uint8)
    tiles = iter([grey, None, None, grey])
    path = tmp_path / "sparse.tif"
    tifffile.imwrite(path, tiles, shape=(128, 128, 3), dtype=np.uint8, tile=(64, 64), photometric="rgb")
    with open_slide(path, 0.5) as slide:
        assert isinstance(slide, PyramidSlide)
        read = slide.read((0, 0), (128, 128), 0.5)
        small, _ = slide.thumbnail(2)
    expected = np.full((128, 128, 3), 255)
    expected[:64, :64] = expected[64:, 64:] = 70
    np.testing.assert_array_equal(read, expected)
    assert small[..., 0].tolist() == [[70, 255], [255, 70]]


def test_fine_stripes_average_out_when_read_coarser(open_as):
    stripes = np.zeros((300, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    read = open_as(stripes).read((40, 40), (60, 40), 1.7)  # 3.4 px a pixel: without antialiasing 0 or 200
    assert np.abs(read.astype(int) - 100).max() <= 25


def test_a_coarser_level_is_used_and_copied_exactly(noise, pyramid):
    path = pyramid(noise)
    with open_slide(path, 0.5) as slide:
        assert [level.size_px for level in slide.levels][:3] == [(400, 300), (200, 150), (100, 75)]
        assert slide.level_mpp(1) == 1.0
        level1 = np.asarray(slide._handle.read_region((0, 0), 1, (200, 150)))[..., :3]
        np.testing.assert_array_equal(slide.read((80, 40), (30, 20), 1.0), level1[20:40, 40:70])
        np.testing.assert_array_equal(
            slide.read((380, 280), (20, 20), 1.0), around(level1, (190, 140), (20, 20))
        )


def test_a_level_that_is_not_there_is_refused_with_those_that_are(noise, pyramid):
    with open_slide(pyramid(noise)) as slide:
        for level in (-1, 9):
            with pytest.raises(SlideError, match=f"has levels 0 to {len(slide.levels) - 1}, not {level}"):
                slide.level_mpp(level)


def test_eight_threads_read_what_one_does(open_as, noise):
    slide = open_as(noise)
    places = [
        (x, y, mpp) for x in range(-40, 400, 37) for y in range(-40, 300, 41) for mpp in (0.5, 0.7, 1.0)
    ]
    gate = threading.Barrier(8)

    def all_of_them(start):
        gate.wait(timeout=10)
        turned = [*places[start:], *places[:start]]
        return {place: slide.read(place[:2], (48, 48), place[2]) for place in turned}

    expected = {place: slide.read(place[:2], (48, 48), place[2]) for place in places}
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(all_of_them, range(0, 80, 10)):
            for place in places:
                np.testing.assert_array_equal(found[place], expected[place])


def test_a_thumbnail_shows_the_whole_slide_in_its_proportions(open_as, slope):
    small, scale = open_as(slope).thumbnail(58)
    assert small.shape == (50, 58, 3)
    assert scale == 4
    x, y = np.meshgrid(np.arange(58) * 4 + 2, np.arange(50) * 4 + 2)
    np.testing.assert_allclose(small[2:-2, 2:-2, 0], (9.5 + x)[2:-2, 2:-2], atol=1.1)
    np.testing.assert_allclose(small[2:-2, 2:-2, 1], (9.5 + y)[2:-2, 2:-2], atol=1.1)


def test_a_thumbnail_never_enlarges(open_as, noise):
    small, scale = open_as(noise).thumbnail(4096)
    assert scale == 1
    np.testing.assert_array_equal(small, noise)


def test_a_thin_slide_has_a_thumbnail_of_at_least_a_pixel(open_as):
    thin = np.full((3, 3000, 3), 77, np.uint8)
    small, _ = open_as(thin).thumbnail(100)
    assert small.shape == (1, 100, 3)
    assert (small == 77).all()


def test_a_level_is_read_as_openslide_reads_it_wherever_its_corner_lies(pyramid, noise) -> None:
    path = pyramid(np.tile(noise, (3, 3, 1)))  # 1200 × 900 px
    compared = 0
    with open_slide(path) as slide, openslide.OpenSlide(str(path)) as handle:
        for level in range(len(slide.levels)):
            for corner in ((0, 0), (101, 57), (403, 333)):
                wanted = np.asarray(handle.read_region(corner, level, (30, 20)))
                if wanted[..., 3].min() < 255:
                    continue  # off a coarse level
                np.testing.assert_array_equal(slide.read_level(corner, (30, 20), level), wanted[..., :3])
                compared += 1
        assert compared >= 8  # all corners on three levels of a size, fewer on the small ones
        with pytest.raises(SlideError, match="has levels 0 to"):
            slide.read_level((0, 0), (8, 8), len(slide.levels))


def test_a_level_is_white_off_the_slide(pyramid, noise) -> None:
    with open_slide(pyramid(noise)) as slide:
        tile = slide.read_level((-20, -10), (64, 64), 0)
    assert (tile[:10] == 255).all()
    assert (tile[:, :20] == 255).all()
    np.testing.assert_array_equal(tile[10:, 20:], noise[:54, :44])
