"""Directories of TIFFs: what is read from them agrees with what was written, and damage is named."""

import struct

import numpy as np
import pytest
import tifffile

from miso.errors import SlideError
from miso.slides.tiff import is_tiff, read_pages


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("layout", [{"tile": (64, 48)}, {"rowsperstrip": 7}, {"rowsperstrip": 300}], ids=str)
def test_a_directory_is_read_as_it_was_written(tmp_path, byteorder, bigtiff, layout):
    path, image = tmp_path / "s.tif", np.zeros((100, 150, 3), np.uint8)
    with tifffile.TiffWriter(path, byteorder=byteorder, bigtiff=bigtiff) as tiff:
        tiff.write(image, photometric="rgb", description="first", metadata=None, **layout)
        tiff.write(image[:50, :60].astype(np.uint16), photometric="rgb", metadata=None)
    assert is_tiff(path)
    pages = read_pages(path)
    with tifffile.TiffFile(path) as tiff:
        for page, known in zip(pages, tiff.pages, strict=True):
            assert page.size_px == (known.imagewidth, known.imagelength)
            assert (page.tiled, page.samples, page.planar) == (known.is_tiled, 3, False)
            assert tuple(page.offsets) == known.dataoffsets
            assert tuple(page.byte_counts) == known.databytecounts
    assert [set(page.bits) for page in pages] == [{8}, {16}]
    assert [page.description for page in pages] == ["first", ""]
    assert pages[0].chunk_px == ((48, 64) if "tile" in layout else (150, min(layout["rowsperstrip"], 100)))


def test_directories_that_go_in_a_circle_end(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.zeros((10, 10), np.uint8), metadata=None)
    content = bytearray(path.read_bytes())
    first = struct.unpack("<I", content[4:8])[0]
    entries = struct.unpack("<H", content[first : first + 2])[0]
    content[first + 2 + 12 * entries : first + 6 + 12 * entries] = struct.pack("<I", first)
    path.write_bytes(content)
    with pytest.raises(SlideError, match=r"'s\.tif' is damaged: its TIFF directories go in a circle"):
        read_pages(path)


@pytest.mark.parametrize("length", [4, 6, 8, 9, 20, 60])
def test_a_file_that_ends_within_its_directory_is_named(tmp_path, length):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.zeros((10, 10), np.uint8))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SlideError, match=r"'s\.tif' is truncated or damaged"):
        read_pages(path)


def test_a_tiff_without_a_picture_is_none(tmp_path):
    (tmp_path / "s.tif").write_bytes(b"II*\0" + bytes(4))
    with pytest.raises(SlideError, match="a TIFF without a picture"):
        read_pages(tmp_path / "s.tif")
