"""Soundness: what decoders would show wrongly without a word is refused; the rest reads as written."""

import struct
import zlib

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from miso.errors import SlideError
from miso.slides import open_slide
from miso.slides.flat import FlatSlide
from miso.slides.pyramid import PyramidSlide

TILED = {"tile": (64, 64)}


def pixels_of(path):
    with open_slide(path, 0.5) as slide:
        return slide.read((0, 0), slide.size_px, 0.5)


def refusal(path):
    with pytest.raises(SlideError) as refused:
        open_slide(path, 0.5)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("layout", [{}, TILED], ids=["strips", "tiles"])
@pytest.mark.parametrize(
    ("samples", "settings", "found"),
    [
        (np.uint16, {}, "16-bit samples"),
        (np.float32, {}, "32-bit floating-point samples"),
        (np.int8, {}, "signed samples"),
        (np.uint32, {}, "32-bit samples"),
        (np.uint8, {"photometric": "separated", "bands": 4}, "CMYK colours"),
        (np.uint8, {"photometric": "minisblack", "bands": 6}, "6 bands"),
        (np.uint8, {"bands": 5}, "5 bands"),
    ],
)
def test_a_tiff_that_is_not_8_bit_colour_is_refused(tmp_path, layout, samples, settings, found):
    bands, kind = settings.get("bands", 3), settings.get("photometric", "rgb")
    image = np.ones((100, 150, bands), samples)
    tifffile.imwrite(tmp_path / "s.tif", image, photometric=kind, planarconfig="contig", **layout)
    assert refusal(tmp_path / "s.tif").startswith(f"'s.tif' holds {found}; MISO reads 8-bit colour or grey")


def test_a_print_in_cmyk_is_refused(noise, tmp_path):
    Image.fromarray(noise).convert("CMYK").save(tmp_path / "print.jpg")
    assert "'print.jpg' holds CMYK colours" in refusal(tmp_path / "print.jpg")


def test_a_deep_png_is_refused(noise, tmp_path):
    pyvips.Image.new_from_array(noise.astype(np.uint16) * 257).pngsave(
        str(tmp_path / "deep.png"), bitdepth=16
    )
    assert "'deep.png' holds 16-bit samples" in refusal(tmp_path / "deep.png")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 16}, {"rowsperstrip": 300}, TILED], ids=str)
def test_separate_planes_read_as_colour(noise, tmp_path, layout, compression):
    tifffile.imwrite(
        tmp_path / "planes.tif",
        np.moveaxis(noise, -1, 0),
        photometric="rgb",
        planarconfig="separate",
        compression=compression,
        **layout,
    )
    np.testing.assert_array_equal(pixels_of(tmp_path / "planes.tif"), noise)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 16}, TILED], ids=["strips", "tiles"])
def test_every_byte_order_and_size_of_tiff_reads_alike(noise, tmp_path, byteorder, bigtiff, layout):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, noise, photometric="rgb", byteorder=byteorder, bigtiff=bigtiff, **layout)
    np.testing.assert_array_equal(pixels_of(path), noise)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette_tiffs_read_as_colour(noise, tmp_path, mode):
    picture = Image.fromarray(noise).convert(mode)
    picture.save(tmp_path / "s.tif")
    np.testing.assert_array_equal(pixels_of(tmp_path / "s.tif"), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("layout", [{}, TILED], ids=["strips", "tiles"])
@pytest.mark.parametrize("meaning", ["unassalpha", "unspecified"])
def test_transparency_is_white_in_strips_and_tiles_alike(noise, tmp_path, layout, meaning):
    alpha = np.full((300, 400, 1), 255, np.uint8)
    alpha[:100], alpha[100:200] = 0, 128
    rgba = np.concatenate([noise, alpha], axis=-1)
    tifffile.imwrite(tmp_path / "s.tif", rgba, photometric="rgb", extrasamples=[meaning], **layout)
    read = pixels_of(tmp_path / "s.tif").astype(int)
    opacity = alpha / 255
    expected = noise * opacity + 255 * (1 - opacity)
    assert (read[:100] == 255).all()
    np.testing.assert_array_equal(read[200:], noise[200:])
    assert np.abs(read - expected).max() <= 2


def test_associated_alpha_is_not_multiplied_twice(tmp_path):
    premultiplied = np.zeros((100, 100, 4), np.uint8)
    premultiplied[...] = (50, 100, 0, 128)
    for name, layout in {"strips.tif": {}, "tiles.tif": TILED}.items():
        tifffile.imwrite(
            tmp_path / name, premultiplied, photometric="rgb", extrasamples=["assocalpha"], **layout
        )
        seen = pixels_of(tmp_path / name)[0, 0].astype(int)
        assert np.abs(seen - (50 + 127, 100 + 127, 127)).max() <= 2


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("layout", [{}, TILED], ids=["strips", "tiles"])
def test_a_tiff_that_says_it_is_turned_is_read_as_stored(noise, tmp_path, orientation, layout):
    turned = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "s.tif", noise, photometric="rgb", extratags=turned, **layout)
    np.testing.assert_array_equal(pixels_of(tmp_path / "s.tif"), noise)


@pytest.mark.parametrize("layout", [{}, TILED], ids=["strips", "tiles"])
def test_channels_in_pages_are_refused_and_a_thumbnail_is_not_taken_for_the_slide(noise, tmp_path, layout):
    tifffile.imwrite(tmp_path / "pages.tif", np.moveaxis(noise, -1, 0), photometric="minisblack", **layout)
    assert "holds 3 grey pictures of 400 × 300 px, which are channels" in refusal(tmp_path / "pages.tif")
    with tifffile.TiffWriter(tmp_path / "first.tif") as tiff:
        tiff.write(np.ascontiguousarray(noise[::4, ::4]), photometric="rgb", **layout)
        tiff.write(noise, photometric="rgb", **layout)
    np.testing.assert_array_equal(pixels_of(tmp_path / "first.tif"), noise)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 16}, TILED, {}], ids=["strips", "tiles", "one strip"])
def test_a_truncated_tiff_is_refused_on_opening(noise, tmp_path, share, layout):
    tifffile.imwrite(tmp_path / "s.tif", noise, photometric="rgb", **layout)
    content = (tmp_path / "s.tif").read_bytes()
    (tmp_path / "s.tif").write_bytes(content[: int(share * len(content))])
    assert "truncated" in refusal(tmp_path / "s.tif")


def test_a_jpeg_whose_data_are_damaged_is_refused(tmp_path):
    y, x = np.indices((256, 256))
    Image.fromarray(((x * y) % 256).astype(np.uint8)).save(tmp_path / "s.jpg", quality=95)
    content = bytearray((tmp_path / "s.jpg").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2] = b"\xff\xd9"  # end of image: libjpeg only warns, and paints the rest grey
    (tmp_path / "s.jpg").write_bytes(content)
    with pytest.raises(SlideError, match=r"'s\.jpg' is truncated or damaged"):
        pixels_of(tmp_path / "s.jpg")


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def huge_png():
    header = struct.pack(">IIBBBBB", 10**6, 10**6, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(10**6)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def huge_tiff():
    """One LZW strip that claims a million rows."""
    entries = [(256, 4, 10**6), (257, 4, 10**6), (258, 3, 8), (259, 3, 5), (262, 3, 1), (273, 4, 8)]
    entries += [(277, 3, 1), (278, 4, 10**6), (279, 4, 100)]
    content = bytes(100) + struct.pack("<H", len(entries))
    content += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<I", 108) + content + bytes(4)


@pytest.mark.parametrize(("name", "content"), [("s.png", huge_png()), ("s.tif", huge_tiff())])
def test_a_million_pixels_a_side_in_a_small_file_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert "claims 1000000 × 1000000 px" in refusal(tmp_path / name)


def test_a_tiff_that_lists_fewer_tiles_than_its_size_needs_is_refused(noise, pyramid):
    path = pyramid(noise)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].tags["ImageWidth"].valueoffset
    content[at : at + 2] = struct.pack("<H", 4000)
    path.write_bytes(content)
    assert "a picture of 4000 × 300 px has 315 tiles, but 35 are listed" in refusal(path)


@pytest.mark.parametrize("dpi", [72, 300, 2400])
def test_a_print_size_is_no_resolution_of_a_pyramid_either(noise, pyramid, dpi):
    with open_slide(pyramid(noise, mpp=25400 / dpi)) as slide:
        assert isinstance(slide, PyramidSlide)
        assert not slide.has_resolution


@pytest.mark.parametrize("layout", [{}, {"tile": True, "tile_width": 64, "tile_height": 64}])
def test_pixels_that_are_not_square_are_no_resolution(noise, tmp_path, layout):
    pyvips.Image.new_from_array(noise).tiffsave(str(tmp_path / "s.tif"), xres=2000, yres=4000, **layout)
    with open_slide(tmp_path / "s.tif") as slide:
        assert not slide.has_resolution


def test_a_flat_slide_closes_twice_and_says_that_it_is_closed(noise, tmp_path):
    Image.fromarray(noise).save(tmp_path / "s.png")
    slide = open_slide(tmp_path / "s.png", 0.5)
    assert isinstance(slide, FlatSlide)
    slide.close()
    slide.close()
    with pytest.raises(ValueError, match="closed"):
        slide.read((0, 0), (8, 8), 0.5)


def test_a_picture_too_large_for_the_disk_is_sent_to_rewrite_slide(noise, tmp_path, monkeypatch):
    Image.fromarray(noise).save(tmp_path / "s.png")
    monkeypatch.setattr("miso.slides.flat.IN_MEMORY", 0)
    monkeypatch.setattr("miso.slides.flat.shutil.disk_usage", lambda folder: type("Disk", (), {"free": 10}))
    with open_slide(tmp_path / "s.png", 0.5) as slide, pytest.raises(SlideError, match="miso rewrite-slide"):
        slide.read((0, 0), (8, 8), 0.5)
