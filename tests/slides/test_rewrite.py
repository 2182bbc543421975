"""Pyramids: what openslide sees in them is the source, at the resolution that was given."""

import errno
from pathlib import Path

import numpy as np
import openslide
import pytest
import pyvips
import tifffile
from PIL import Image

import miso.slides.rewrite
from miso.errors import SlideError
from miso.slides import Slide, open_slide
from miso.slides.pyramid import PyramidSlide
from miso.slides.rewrite import write_pyramid
from miso.slides.stream import SlideStream
from miso.units import Resolution

KNOWN = Resolution(mpp=0.4321, source="lattice pitch")


@pytest.fixture
def rewritten(tmp_path):
    """Rewrite a file, and open the result with openslide."""

    def rewrite(source: Path, **settings: object) -> openslide.OpenSlide:
        with open_slide(source, KNOWN) as slide:
            write_pyramid(slide, tmp_path / "out.tif", **settings)
        return openslide.OpenSlide(str(tmp_path / "out.tif"))

    return rewrite


@pytest.fixture
def tissue():
    """540 rows × 660 columns that JPEG can keep: smooth colours with some texture."""
    y, x = np.indices((540, 660))
    waves = [120 + 80 * np.sin(x / 23 + k) * np.cos(y / (31 + 5 * k)) for k in range(3)]
    texture = np.random.default_rng(3).normal(0, 2, (540, 660, 3))
    return np.clip(np.stack(waves, axis=-1) + texture, 0, 255).astype(np.uint8)


def level_0(pyramid: openslide.OpenSlide):
    return np.asarray(pyramid.read_region((0, 0), 0, pyramid.dimensions))[..., :3]


def psnr(first, second):
    return 10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2))


SOURCES = {
    "strips.tif": {},
    "lzw.tif": {"compression": "lzw"},
    "deflate.tif": {"compression": "deflate", "predictor": "horizontal"},
    "big.tif": {"bigtiff": True},
    "tiles.tif": {"tile": True},
    "pyramid.tif": {"tile": True, "pyramid": True, "bigtiff": True},
}


@pytest.mark.parametrize("name", [*SOURCES, "s.png"])
def test_lossless_keeps_every_pixel_of_every_kind_of_source(tissue, tmp_path, rewritten, name):
    image = pyvips.Image.new_from_array(tissue)
    image.write_to_file(str(tmp_path / name), **SOURCES.get(name, {}))
    pyramid = rewritten(tmp_path / name, lossless=True)
    np.testing.assert_array_equal(level_0(pyramid), tissue)


@pytest.mark.parametrize("settings", [{"rowsperstrip": 64}, {"tile": (64, 64)}], ids=["strips", "tiles"])
def test_separate_planes_and_alpha_come_through(tissue, tmp_path, rewritten, settings):
    planes = np.moveaxis(tissue, -1, 0)
    tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="rgb", planarconfig="separate", **settings)
    np.testing.assert_array_equal(level_0(rewritten(tmp_path / "planes.tif", lossless=True)), tissue)
    clear = np.concatenate([tissue, np.full((540, 660, 1), 255, np.uint8)], axis=-1)
    clear[:300, :, 3] = 0
    tifffile.imwrite(tmp_path / "clear.tif", clear, photometric="rgb", **settings)
    seen = level_0(rewritten(tmp_path / "clear.tif", lossless=True))
    assert (seen[:300] == 255).all()
    np.testing.assert_array_equal(seen[300:], tissue[300:])


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette_become_colour(tissue, tmp_path, rewritten, mode):
    picture = Image.fromarray(tissue).convert(mode)
    picture.save(tmp_path / "s.png")
    seen = level_0(rewritten(tmp_path / "s.png", lossless=True))
    np.testing.assert_array_equal(seen, np.asarray(picture.convert("RGB")))


def test_by_default_jpeg_keeps_full_chroma_at_43_db(tissue, tmp_path, rewritten):
    Image.fromarray(tissue).save(tmp_path / "s.png")
    pyramid = rewritten(tmp_path / "s.png")
    assert psnr(level_0(pyramid), tissue) > 43
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert tiff.is_bigtiff
        assert {page.compression.name for page in tiff.pages} == {"JPEG"}
        assert {page.tilelength for page in tiff.pages} == {256}
        assert all(page.subsampling in {None, (1, 1)} for page in tiff.pages)


def test_levels_are_halves_and_the_tags_say_the_resolution(tissue, tmp_path, rewritten):
    large = np.tile(tissue, (2, 2, 1))
    Image.fromarray(large).save(tmp_path / "s.png")
    pyramid = rewritten(tmp_path / "s.png")
    assert pyramid.level_dimensions == ((1320, 1080), (660, 540), (330, 270), (165, 135))
    for axis in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y):
        assert float(pyramid.properties[axis]) == pytest.approx(KNOWN.mpp, rel=1e-4)
    half = np.asarray(pyramid.read_region((0, 0), 1, (660, 540)))[..., :3]
    mean = large.reshape(540, 2, 660, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - mean).mean() < 2


@pytest.mark.parametrize(("size", "levels"), [((1, 1), 1), ((8, 9), 4), ((700, 30), 5), ((2049, 40), 4)])
def test_an_image_has_four_levels_if_its_shorter_side_has_eight_pixels(tmp_path, rewritten, size, levels):
    Image.new("RGB", size, (200, 100, 150)).save(tmp_path / "s.png")
    pyramid = rewritten(tmp_path / "s.png")
    assert (pyramid.dimensions, pyramid.level_count) == (size, levels)
    assert np.abs(level_0(pyramid).astype(int) - (200, 100, 150)).max() <= 12  # JPEG rings at the edge


@pytest.mark.parametrize("name", ["s.jpg", "s.tif"])
def test_a_picture_that_says_it_is_turned_is_rewritten_as_stored(tmp_path, rewritten, name):
    image = np.full((100, 300, 3), 250, np.uint8)
    image[:, :40] = 20
    turned = Image.Exif()
    turned[274] = 6
    Image.fromarray(image).save(tmp_path / name, exif=turned)
    pyramid = rewritten(tmp_path / name, lossless=True)
    assert pyramid.dimensions == (300, 100)
    assert level_0(pyramid)[:, :32].max() < 40
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert {int(page.tags[274].value) if 274 in page.tags else 1 for page in tiff.pages} == {1}


def test_of_several_pictures_the_largest_is_rewritten(tissue, tmp_path, rewritten):
    with tifffile.TiffWriter(tmp_path / "s.tif") as tiff:
        tiff.write(np.ascontiguousarray(tissue[::4, ::4]), photometric="rgb")
        tiff.write(tissue, photometric="rgb")
    np.testing.assert_array_equal(level_0(rewritten(tmp_path / "s.tif", lossless=True)), tissue)


def test_what_only_openslide_reads_is_streamed_with_the_same_pixels(tissue, pyramid, tmp_path, monkeypatch):
    source = pyramid(tissue, mpp=0.5)
    monkeypatch.setattr("miso.slides.stream.ROWS", 128)
    monkeypatch.setattr("miso.slides.rewrite.PLAIN_VENDORS", set())
    monkeypatch.setattr("miso.slides.rewrite.load_flat", None)
    with open_slide(source) as slide:
        write_pyramid(slide, tmp_path / "out.tif", lossless=True)
    np.testing.assert_array_equal(level_0(openslide.OpenSlide(str(tmp_path / "out.tif"))), tissue)


@pytest.mark.parametrize("quality", [80, 95])
def test_libvips_and_openslide_see_the_same_jpeg_tiles(tissue, pyramid, tmp_path, monkeypatch, quality):
    """Plain TIFF goes through libvips for speed, which must not change a pixel, subsampled or not."""
    with open_slide(pyramid(tissue, compression="jpeg", Q=quality)) as slide:
        assert isinstance(slide, PyramidSlide)
        write_pyramid(slide, tmp_path / "fast.tif", lossless=True)
        monkeypatch.setattr(miso.slides.rewrite, "PLAIN_VENDORS", set())
        write_pyramid(slide, tmp_path / "slow.tif", lossless=True)
        seen = slide.read((0, 0), slide.size_px, slide.mpp)
    for name in ("fast.tif", "slow.tif"):
        np.testing.assert_array_equal(level_0(openslide.OpenSlide(str(tmp_path / name))), seen)


def test_absent_tiles_become_white(tissue, pyramid, tmp_path):
    source = pyramid(tissue, compression="deflate")
    content = bytearray(source.read_bytes())
    with tifffile.TiffFile(source) as tiff:
        for tag in ("TileOffsets", "TileByteCounts"):
            at = tiff.pages[0].tags[tag].valueoffset
            content[at : at + 4] = bytes(4)  # the tile in the corner
    source.write_bytes(content)
    with open_slide(source) as slide:
        write_pyramid(slide, tmp_path / "out.tif", lossless=True)
    seen = level_0(openslide.OpenSlide(str(tmp_path / "out.tif")))
    assert (seen[:64, :64] == 255).all()
    np.testing.assert_array_equal(seen[64:], tissue[64:])


@pytest.mark.parametrize("name", ["s.png", "s.jpg"])
def test_a_truncated_source_fails_in_one_line(tissue, tmp_path, name):
    Image.fromarray(tissue).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    with (
        open_slide(tmp_path / name, KNOWN) as slide,
        pytest.raises(SlideError, match=f"'{name}' is truncated or damaged") as failed,
    ):
        write_pyramid(slide, tmp_path / "out.tif")
    assert "\n" not in str(failed.value)


def test_damage_that_openslide_meets_while_streaming_is_told(tissue, pyramid, tmp_path, monkeypatch):
    source = pyramid(tissue, compression="jpeg")
    with tifffile.TiffFile(source) as tiff:
        start, length = tiff.pages[0].dataoffsets[20], tiff.pages[0].databytecounts[20]
    content = bytearray(source.read_bytes())
    content[start : start + length] = bytes(length)
    source.write_bytes(content)
    monkeypatch.setattr(miso.slides.rewrite, "PLAIN_VENDORS", set())
    with open_slide(source) as slide, pytest.raises(SlideError, match=r"'pyramid\.tif' is damaged at"):
        write_pyramid(slide, tmp_path / "out.tif")


def test_progress_is_shown_in_hundredths(tissue, tmp_path):
    Image.fromarray(tissue).save(tmp_path / "s.png")
    shown = []

    def track(steps, total, description):
        for step in steps:
            shown.append((step, total, description))
            yield step

    with open_slide(tmp_path / "s.png", KNOWN) as slide:
        write_pyramid(slide, tmp_path / "out.tif", track=track)
    assert [step for step, _, _ in shown] == list(range(100))
    assert {told for _, *told in map(tuple, shown) for told in [tuple(told)]} == {(100, "writing s, %")}


def test_an_interruption_while_progress_is_shown_ends_the_writing(tissue, tmp_path):
    Image.fromarray(np.tile(tissue, (5, 5, 1))).save(tmp_path / "s.png", compress_level=0)

    def interrupted(steps, total, description):
        for step in steps:
            if step == 20:
                raise KeyboardInterrupt
            yield step

    with open_slide(tmp_path / "s.png", KNOWN) as slide, pytest.raises(KeyboardInterrupt):
        write_pyramid(slide, tmp_path / "out.tif", lossless=True, track=interrupted)
    with open_slide(tmp_path / "s.png", KNOWN) as slide:  # and the next one is not disturbed
        write_pyramid(slide, tmp_path / "again.tif")
    with open_slide(tmp_path / "again.tif") as slide:
        assert slide.size_px == (3300, 2700)


def test_a_full_disk_is_an_error_of_the_system(tissue, tmp_path):
    Image.fromarray(tissue).save(tmp_path / "s.png")
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with (
        open_slide(tmp_path / "s.png", KNOWN) as slide,
        pytest.raises(OSError, match="No space left") as told,
    ):
        write_pyramid(slide, full)
    assert told.value.errno == errno.ENOSPC


@pytest.mark.data
def test_a_real_svs_keeps_its_pixels_and_resolution(real_data, tmp_path):
    with open_slide(real_data / "wsi" / "CMU-1-Small-Region.svs") as slide:
        write_pyramid(slide, tmp_path / "out.tif", lossless=True)
        original = slide.read((0, 0), slide.size_px, slide.mpp)
        streamed = pyvips.Image.numpy(SlideStream(slide).image())
    pyramid = openslide.OpenSlide(str(tmp_path / "out.tif"))
    assert pyramid.level_count >= 4
    assert float(pyramid.properties[openslide.PROPERTY_NAME_MPP_X]) == pytest.approx(0.499, rel=0.001)
    np.testing.assert_array_equal(level_0(pyramid), original)
    np.testing.assert_array_equal(streamed, original)


def test_a_slide_of_another_kind_is_streamed(tissue, tmp_path):
    class Painted(Slide):
        def _read_region(self, index, origin, size):
            (x, y), (width, height) = origin, size
            return tissue[y : y + height, x : x + width]

        def close(self):
            pass

    from miso.slides import Level

    slide = Painted(tmp_path / "painted", (Level(size_px=(660, 540), downsample=1.0),), KNOWN)
    write_pyramid(slide, tmp_path / "out.tif", lossless=True)
    np.testing.assert_array_equal(level_0(openslide.OpenSlide(str(tmp_path / "out.tif"))), tissue)
