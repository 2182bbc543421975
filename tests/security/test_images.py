"""Pictures that claim, or unpack to, far more than they hold: refused, or read, in little memory and time."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from miso.errors import SlideError
from miso.slides import open_slide
from miso.slides.tiff import read_pages

SHORT, LONG = 3, 4
OPEN = "from miso.slides import open_slide"


def directory(entries: dict[int, tuple[int, int, int]], following: int = 0) -> bytes:
    """A directory of a little-endian TIFF: by tag, (type, count, value or place)."""
    listed = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    return struct.pack("<H", len(entries)) + listed + struct.pack("<I", following)


def picture(width: int, height: int, **more: tuple[int, int, int]) -> dict[int, tuple[int, int, int]]:
    """Tags of a grey, deflated picture in one strip; `more` are tags as `t322`."""
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1}
    entries = {tag: (LONG, 1, value) for tag, value in tags.items()}
    return entries | {int(name[1:]): entry for name, entry in more.items()}


def write(path: Path, *pieces: bytes) -> Path:
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + b"".join(pieces))
    return path


def png(path: Path, side: int) -> Path:
    """A black grey PNG of side × side px, packed a thousand to one."""
    packer, packed = zlib.compressobj(9), b""
    for _ in range(side):
        packed += packer.compress(bytes(side + 1))
    packed += packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    return path


def test_png_of_a_quarter_of_a_gigapixel_is_looked_at_in_little_memory(tmp_path, attack):
    path = png(tmp_path / "bomb.png", 16_000)
    assert path.stat().st_size < 300_000
    call = f"open_slide({str(path)!r}, 0.5).thumbnail(64)"
    assert attack(OPEN, call, mib=400) == "done"


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_picture_whose_header_claims_gigapixels_in_a_kilobyte_is_refused(kind, tmp_path):
    path = tmp_path / f"bomb.{kind}"
    if kind == "png":
        png(path, 20)
        content = bytearray(path.read_bytes())
        content[16:24] = struct.pack(">II", 2**17, 2**17)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    else:
        from PIL import Image

        Image.new("RGB", (16, 16)).save(path)
        content = bytearray(path.read_bytes())
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    path.write_bytes(content)
    with pytest.raises(SlideError, match="claims"):
        open_slide(path, 0.5)


def test_one_deflated_strip_of_a_quarter_of_a_gigabyte_is_read_row_by_row(tmp_path, attack):
    side = 16_000
    packer = zlib.compressobj(9)
    strip = b"".join(packer.compress(bytes(side)) for _ in range(side)) + packer.flush()
    tags = picture(side, side, t278=(LONG, 1, side), t273=(LONG, 1, 4096), t279=(LONG, 1, len(strip)))
    path = write(tmp_path / "strip.tif", directory(tags).ljust(4096 - 8, b"\0"), strip)
    assert path.stat().st_size < 1.1e6
    call = f"open_slide({str(path)!r}, 0.5).thumbnail(32)"
    assert attack(OPEN, call, mib=200) == "done"


def test_tile_of_a_gigapixel_is_refused_before_it_is_decoded(tmp_path):
    side = 32_768
    tile = zlib.compress(bytes(10**6), 9)
    tags = picture(
        side,
        side,
        t322=(LONG, 1, side),
        t323=(LONG, 1, side),
        t324=(LONG, 1, 4096),
        t325=(LONG, 1, len(tile)),
    )
    path = write(tmp_path / "tile.tif", directory(tags).ljust(4096 - 8, b"\0"), tile, bytes(2**19))
    with pytest.raises(SlideError, match="tiles of 32768 × 32768 px"):
        open_slide(path, 0.5)


@pytest.mark.parametrize("size", [(2**32 - 1, 2**32 - 1), (2**31, 1), (0, 100)])
def test_tiff_of_an_absurd_size_is_refused(size, tmp_path):
    tags = picture(*size, t278=(LONG, 1, 2**32 - 1), t273=(LONG, 1, 8), t279=(LONG, 1, 100))
    with pytest.raises(SlideError, match=r"damaged|claims|cannot read"):
        open_slide(write(tmp_path / "size.tif", directory(tags), bytes(200)), 0.5)


@pytest.mark.parametrize("place", [2**32 - 1, 2**31, 10_000])
def test_strip_beyond_the_end_of_the_file_is_refused(place, tmp_path):
    tags = picture(64, 64, t278=(LONG, 1, 64), t273=(LONG, 1, place), t279=(LONG, 1, 4096))
    with pytest.raises(SlideError, match="truncated or damaged"):
        open_slide(write(tmp_path / "place.tif", directory(tags)), 0.5)


def test_list_of_four_billion_strips_is_refused_before_it_is_read(tmp_path):
    many = (LONG, 2**32 - 1, 8)
    tags = picture(2**20, 2**20, t278=(LONG, 1, 1), t273=many, t279=many)
    with pytest.raises(SlideError, match="damaged"):
        open_slide(write(tmp_path / "strips.tif", directory(tags)), 0.5)


@pytest.mark.parametrize("back_to", [0, 1])
def test_directories_that_go_in_a_circle_are_refused(back_to, tmp_path):
    tags = picture(64, 64, t278=(LONG, 1, 64), t273=(LONG, 1, 8), t279=(LONG, 1, 16))
    length = len(directory(tags))
    first = directory(tags, 8 + length)
    second = directory(tags, 8 + back_to * length)
    with pytest.raises(SlideError, match="circle"):
        open_slide(write(tmp_path / "circle.tif", first, second), 0.5)


def test_sub_directories_that_go_in_a_circle_are_not_followed(tmp_path, attack):
    path = tmp_path / "sub.tif"
    pixels = np.full((300, 300, 3), 200, dtype=np.uint8)
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, tile=(64, 64), subifds=1, photometric="rgb", compression="zlib")
        file.write(pixels[::2, ::2], tile=(64, 64), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[330].overwrite([file.pages[0].offset])
    assert attack(OPEN, f"open_slide({str(path)!r}, 0.5).thumbnail(32)", seconds=20) == "done"


def test_thousands_of_directories_that_share_one_list_of_tiles_are_refused_in_little_memory(tmp_path, attack):
    n, pages = 2**20, 1000
    start = 8 + 4 * n + 4 * n
    tags = picture(2**14, n, t278=(LONG, 1, 1), t273=(LONG, n, 8), t279=(LONG, n, 8 + 4 * n))
    length = len(directory(tags))
    chain = b"".join(directory(tags, start + (i + 1) * length if i + 1 < pages else 0) for i in range(pages))
    path = tmp_path / "shared.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", start) + bytes(8 * n) + chain)
    said = attack(OPEN, f"open_slide({str(path)!r}, 0.5)", mib=400, seconds=20)
    assert said.startswith("refused:")
    assert "over and over" in said


def test_directory_of_thousands_of_entries_is_refused(tmp_path):
    path = tmp_path / "entries.tif"
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 65_535) + bytes(65_535 * 12 + 4))
    with pytest.raises(SlideError, match="a TIFF directory of 65535 entries"):
        read_pages(path)
