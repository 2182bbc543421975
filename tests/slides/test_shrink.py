"""Box averages block by block equal those of the whole, and never hold more than a block."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

import miso.slides.shrink
from miso.slides import open_slide
from miso.slides.shrink import box_shrink


def reader(image, asked=None):
    def read(origin, size):
        (x, y), (width, height) = origin, size
        assert 0 <= x < x + width <= image.shape[1]
        assert 0 <= y < y + height <= image.shape[0]
        if asked is not None:
            asked.append(size)
        return image[y : y + height, x : x + width]

    return read


def has_tie(length, cells):
    """Whether a pixel's centre lies on the border of two cells, where Pillow's own rounding decides."""
    return any((2 * k * length + cells) % (2 * cells) == 0 for k in range(1, cells))


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    block=st.integers(1, 40),
    to_width=st.integers(1, 90),
    to_height=st.integers(1, 90),
)
def test_blocks_make_the_same_picture_as_the_whole(width, height, block, to_width, to_height):
    image = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    size = min(width, to_width), min(height, to_height)
    assume(not has_tie(width, size[0]) and not has_tie(height, size[1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(miso.slides.shrink, "BLOCK_PX", block)
        small = box_shrink(reader(image), (width, height), size)
    whole = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    assert small.shape == whole.shape
    assert np.abs(small.astype(int) - whole).max() <= 1


def test_a_whole_factor_gives_the_plain_mean_of_each_square():
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    means = image.reshape(6, 10, 9, 10, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(box_shrink(reader(image), (90, 60), (9, 6)), means, atol=0.5)


def test_every_pixel_is_read_once_in_blocks_of_a_bounded_size():
    image = np.zeros((4200, 5000, 3), np.uint8)
    asked = []
    box_shrink(reader(image, asked), (5000, 4200), (50, 42))
    assert sum(width * height for width, height in asked) == 4200 * 5000
    assert max(width * height for width, height in asked) <= 2048**2


def test_the_brightest_block_does_not_overflow():
    image = np.broadcast_to(np.uint8(255), (2100, 2100, 3))
    assert (box_shrink(reader(image), (2100, 2100), (1, 1)) == 255).all()


def test_a_side_that_rounding_made_a_pixel_too_long_repeats_one():
    image = np.random.default_rng(0).integers(0, 256, (7, 10, 3), dtype=np.uint8)
    large = box_shrink(reader(image), (10, 7), (5, 8))
    assert large.shape == (8, 5, 3)


def test_the_thumbnail_of_a_single_level_is_the_box_average_of_all_of_it(noise, pyramid, monkeypatch):
    path = pyramid(noise, pyramid=False, name="one_level.tif")
    monkeypatch.setattr(miso.slides.shrink, "BLOCK_PX", 96)
    with open_slide(path) as slide:
        assert len(slide.levels) == 1
        small, scale = slide.thumbnail(70)
    assert scale == pytest.approx(400 / 70)
    whole = np.asarray(Image.fromarray(noise).resize((70, 52), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - whole).max() <= 1
