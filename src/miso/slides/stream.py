"""A slide as libvips reads it from the top down, rows of level 0 made as they are asked for."""

import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyvips

from miso.errors import SlideError
from miso.slides.slide import Slide

ROWS, COLUMNS = 256, 512
"""Pixels read at a time: whole tiles of most slides."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
EIGHT_BIT, RGB = 8, 2
Pixels = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
READERS = 2


class SlideStream:
    """Feeds a slide to libvips as an uncompressed PNG, of which a strip of `ROWS` is in memory at a time.

    libvips has no other way of taking pixels as they come; `error` holds what went wrong in reading them.
    """

    def __init__(self, slide: Slide) -> None:
        self.error: SlideError | None = None
        self._pieces, self._rest = _png(slide), memoryview(b"")
        self._source = pyvips.SourceCustom()
        self._source.on_read(self._read)

    def image(self) -> pyvips.Image:
        """Return the image, to be read once from top to bottom."""
        return pyvips.Image.new_from_source(self._source, "", access="sequential", fail_on="error")

    def _read(self, size: int) -> bytes:
        try:
            while not self._rest and (piece := next(self._pieces, None)) is not None:
                self._rest = memoryview(piece)
        except SlideError as err:  # raised here it would be lost in C: the stream ends, and libvips says so
            self.error = err
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)


def _png(slide: Slide) -> Iterator[bytes]:
    width, height = slide.size_px
    yield SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, EIGHT_BIT, RGB, 0, 0, 0))
    packer = zlib.compressobj(level=0)
    strip = np.zeros((ROWS, 1 + 3 * width), dtype=np.uint8)  # each row begins with PNG's filter byte, 0
    with ThreadPoolExecutor(READERS) as pool:
        for top in range(0, height, ROWS):
            rows = strip[: height - top]
            _fill(rows[:, 1:].reshape(len(rows), width, 3), slide, top, pool)
            for row in rows:
                if packed := packer.compress(row.data):
                    yield _chunk(b"IDAT", packed)
    yield _chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b"")


def _fill(pixels: Pixels, slide: Slide, top: int, pool: ThreadPoolExecutor) -> None:
    """Read a strip across the slide into `pixels`."""
    rows, width, _ = pixels.shape

    def read(left: int) -> None:
        size = min(COLUMNS, width - left), rows
        pixels[:, left : left + size[0]] = slide.read((left, top), size, slide.mpp)

    list(pool.map(read, range(0, width, COLUMNS)))


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(content)), kind, content, struct.pack(">I", check)))
