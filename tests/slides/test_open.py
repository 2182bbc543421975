"""Opening: which file is read how, whose resolution is believed, and what is refused."""

import numpy as np
import openslide
import pytest
import pyvips
import tifffile
from PIL import Image

from miso.errors import SlideError
from miso.slides import open_slide
from miso.slides.flat import FlatSlide
from miso.slides.pyramid import PyramidSlide
from miso.units import Resolution


def save(image, path, **settings):
    Image.fromarray(image).save(path, **settings)
    return path


def flat_tiff(image, path, mpp):
    pyvips.Image.new_from_array(image).tiffsave(str(path), xres=1000 / mpp, yres=1000 / mpp)
    return path


def test_the_tags_of_a_pyramid_are_read_by_openslide(noise, pyramid):
    with open_slide(pyramid(noise, mpp=0.25)) as slide:
        assert isinstance(slide, PyramidSlide)
        assert slide.mpp == pytest.approx(0.25, rel=1e-4)
        assert slide.resolution.source == "slide tags"


@pytest.mark.parametrize("mpp", [0.25, 0.688, 4.9])
def test_the_tags_of_a_flat_tiff_are_believed(noise, tmp_path, mpp):
    with open_slide(flat_tiff(noise, tmp_path / "flat.tif", mpp)) as slide:
        assert isinstance(slide, FlatSlide)
        assert slide.mpp == pytest.approx(mpp, rel=1e-3)
        assert slide.resolution.source == "TIFF tags"


@pytest.mark.parametrize("dpi", [1, 72, 96, 300, 1200, 2400])
def test_a_print_size_in_a_tiff_is_no_resolution(noise, tmp_path, dpi):
    with open_slide(flat_tiff(noise, tmp_path / "flat.tif", 25400 / dpi)) as slide:
        assert not slide.has_resolution


@pytest.mark.parametrize("name", ["slide.jpg", "slide.png"])
@pytest.mark.parametrize("dpi", [300, 50800])
def test_the_density_of_a_jpeg_or_png_is_never_believed(noise, tmp_path, name, dpi):
    with open_slide(save(noise, tmp_path / name, dpi=(dpi, dpi))) as slide:
        assert not slide.has_resolution
        assert "resolution unknown" in repr(slide)
        with pytest.raises(SlideError, match=rf"no resolution in '{name}'; pass --mpp"):
            slide.read((0, 0), (8, 8), 0.5)


def test_what_the_user_says_wins_over_the_tags(noise, pyramid, tmp_path):
    for path in (pyramid(noise, mpp=0.5), flat_tiff(noise, tmp_path / "flat.tif", 0.5)):
        with open_slide(path, 0.3) as slide:
            assert slide.resolution == Resolution(mpp=0.3, source="--mpp")


def test_a_resolution_found_elsewhere_keeps_its_source(noise, tmp_path):
    lattice = Resolution(mpp=0.688, source="lattice pitch of 200 µm")
    with open_slide(save(noise, tmp_path / "s.png"), lattice) as slide:
        assert slide.resolution is lattice


@pytest.mark.parametrize("mpp", [0, -0.5, 0.001, 25400, float("nan"), float("inf")])
def test_an_impossible_resolution_is_refused(noise, tmp_path, mpp):
    with pytest.raises(SlideError, match=r"is no microscope resolution; 0\.25 µm/px is a 40× scan"):
        open_slide(save(noise, tmp_path / "s.png"), mpp)


def test_no_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(SlideError, match=r"no image at .*absent\.svs$"):
        open_slide(tmp_path / "absent.svs")
    with pytest.raises(SlideError, match=r"that is a folder"):
        open_slide(tmp_path)


@pytest.mark.parametrize("name", ["notes.txt", "notes.jpg", "notes.tif", "notes.svs"])
@pytest.mark.parametrize("content", [b"", b"spots and counts\n", bytes(2000)], ids=["empty", "text", "zeros"])
def test_what_is_no_image_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SlideError, match=f"cannot read '{name}' as an image"):
        open_slide(tmp_path / name)


def test_a_truncated_jpeg_opens_but_its_pixels_are_refused(noise, tmp_path):
    path = save(np.tile(noise, (4, 4, 1)), tmp_path / "cut.jpg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for look in (lambda slide: slide.read((0, 0), (64, 64), 0.5), lambda slide: slide.thumbnail(100)):
        with (
            open_slide(path, 0.5) as slide,
            pytest.raises(SlideError, match=r"'cut\.jpg' is truncated or damaged"),
        ):
            look(slide)


def test_a_truncated_png_is_refused_on_reading(noise, tmp_path):
    path = save(noise, tmp_path / "cut.png")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        open_slide(path, 0.5) as slide,
        pytest.raises(SlideError, match=r"'cut\.png' is truncated or damaged"),
    ):
        slide.read((0, 200), (64, 64), 0.5)


def test_a_pyramid_with_damaged_tiles_is_refused_on_reading(noise, pyramid):
    path = pyramid(noise, compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        start, length = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    with (
        open_slide(path, 0.5) as slide,
        pytest.raises(SlideError, match=r"'pyramid\.tif' is damaged at \(0, 0\), level 0"),
    ):
        slide.read((0, 0), (64, 64), 0.5)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_more_than_eight_bits_are_refused(tmp_path, dtype):
    path = tmp_path / "deep.tif"
    pyvips.Image.new_from_array(np.zeros((20, 20, 3), dtype)).tiffsave(str(path))
    with pytest.raises(
        SlideError, match=r"'deep\.tif' holds (16-bit|32-bit floating-point) samples; MISO reads 8-bit colour"
    ):
        open_slide(path)


def test_transparency_is_seen_over_white(tmp_path):
    image = np.zeros((10, 30, 4), np.uint8)
    image[:, 10:20, 3], image[:, 20:, 3] = 255, 128
    with open_slide(save(image, tmp_path / "see-through.png"), 0.5) as slide:
        clear, opaque, half = slide.read((0, 0), (30, 1), 0.5)[0, [5, 15, 25], 0]
    assert (clear, opaque) == (255, 0)
    assert 125 <= half <= 129


@pytest.mark.parametrize(("mode", "bands"), [("L", 1), ("LA", 2), ("1", 1)])
def test_grey_and_black_and_white_pictures_read_as_colour(noise, tmp_path, mode, bands):
    picture = Image.fromarray(noise).convert(mode)
    assert len(picture.getbands()) == bands
    picture.save(tmp_path / "grey.png")
    with open_slide(tmp_path / "grey.png", 0.5) as slide:
        expected = np.asarray(picture.convert("RGB"))
        np.testing.assert_array_equal(slide.read((0, 0), (400, 300), 0.5), expected)


def test_a_palette_is_looked_up(noise, tmp_path):
    picture = Image.fromarray(noise).convert("P")
    picture.save(tmp_path / "palette.png")
    with open_slide(tmp_path / "palette.png", 0.5) as slide:
        np.testing.assert_array_equal(slide.read((0, 0), (400, 300), 0.5), np.asarray(picture.convert("RGB")))


def test_a_camera_turned_on_its_side_turns_neither_pixels_nor_thumbnail(tmp_path):
    """Spots are placed on the pixels as stored, and the thumbnail shows the same ones."""
    image = np.full((100, 200, 3), 250, np.uint8)
    image[:, :50] = 20
    turned = Image.Exif()
    turned[274] = 6
    with open_slide(save(image, tmp_path / "s.jpg", exif=turned, quality=95), 0.5) as slide:
        assert slide.size_px == (200, 100)
        assert slide.read((0, 0), (40, 100), 0.5).max() < 40
        small, _ = slide.thumbnail(50)
    assert small.shape == (25, 50, 3)
    assert small[:, :11].max() < 60
    assert small[:, 15:].min() > 200


@pytest.mark.parametrize("name", ["slide.png", "slide.tif", "slide.jpg"])
def test_a_file_that_was_written_over_shows_its_new_picture(tmp_path, name):
    for grey in (40, 200):
        save(np.full((64, 64, 3), grey, np.uint8), tmp_path / name)
        with open_slide(tmp_path / name, 0.5) as slide:
            assert abs(int(slide.read((0, 0), (8, 8), 0.5)[0, 0, 0]) - grey) <= 2
            assert abs(int(slide.thumbnail(16)[0][0, 0, 0]) - grey) <= 2


@pytest.mark.data
def test_a_real_svs_says_its_own_resolution(real_data):
    path = real_data / "wsi" / "CMU-1-Small-Region.svs"
    with open_slide(path) as slide:
        assert isinstance(slide, PyramidSlide)
        assert slide.size_px == (2220, 2967)
        assert slide.mpp == pytest.approx(0.499)
        tile = slide.read((1000, 1000), (112, 112), 0.998)
        full = slide.read((1000, 1000), (224, 224), 0.499)
        small, _ = slide.thumbnail(512)
        whole = slide.read((0, 0), slide.size_px, slide.mpp)
    halved = full.reshape(112, 2, 112, 2, 3).mean(axis=(1, 3))
    assert np.abs(tile - halved).mean() < 3
    expected = np.asarray(Image.fromarray(whole).resize(small.shape[1::-1], Image.Resampling.BOX))
    assert np.abs(small.astype(int) - expected).max() <= 1


@pytest.mark.data
def test_a_flat_tiff_that_openslide_refuses_opens_all_the_same(real_data):
    path = real_data / "wsi" / "kidney-48-5.tif"
    with pytest.raises(openslide.OpenSlideUnsupportedFormatError):
        openslide.OpenSlide(str(path))
    with open_slide(path, 0.5) as slide:
        assert isinstance(slide, FlatSlide)
        with Image.open(path) as picture:
            assert slide.size_px == picture.size
            expected = np.asarray(picture.convert("RGB").crop((10, 20, 74, 84)))
        np.testing.assert_array_equal(slide.read((10, 20), (64, 64), 0.5), expected)
