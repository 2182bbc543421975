"""The pictures of a TIFF as its directories tell, read before any decoder is; sizes are (width, height)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt64
from numpy.typing import NDArray

from miso.errors import SlideError

MAGIC = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
BIG = {b"II+\0", b"MM\0+"}
INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
"""TIFF's numbers for unsigned types, and numpy's; 13 and 18 are offsets of directories."""
WIDTHS = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes of one value of each type."""
ASCII = 2
MOST_PAGES = 4096
MOST_ENTRIES = 4096
"""Of a directory; those of microscopes have some 30."""
LONGEST_TEXT = 2**20
MOST_LISTED, ALWAYS_LISTED = 8, 2**24
"""Bytes of tile places in memory for each byte of the file (they are widened), and what any may have."""

Chunks = UInt64[NDArray[np.uint64], " chunk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One picture of a TIFF: what its tags say (the TIFF 6.0 specification names them), nothing checked yet.

    Attributes
    ----------
    bits, sample_format, photometric, extra_samples
        Tags 258, 339, 262 and 338 as numbers.
    chunk_px
        (width, height) of a tile, or of a strip; `tiled` tells which.
    offsets, byte_counts
        Where the tiles or strips lie in the file.
    """

    size_px: tuple[int, int]
    bits: tuple[int, ...]
    samples: int
    sample_format: int
    photometric: int
    compression: int
    planar: bool
    orientation: int
    extra_samples: tuple[int, ...]
    tiled: bool
    chunk_px: tuple[int, int]
    description: str
    offsets: Chunks = field(repr=False)
    byte_counts: Chunks = field(repr=False)


def is_tiff(path: Path) -> bool:
    """Whether a file begins as a TIFF or BigTIFF does."""
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def read_pages(path: Path) -> list[Page]:
    """Read the directories of a TIFF; sub-directories are left out.

    Raises
    ------
    SlideError
        If the file ends too early, its directories are damaged, or it holds no picture.
    """
    with path.open("rb") as file:
        pages, room = list[Page](), MOST_LISTED * path.stat().st_size + ALWAYS_LISTED
        for directory in _directories(file, path.name):
            pages.append(_page(directory))
            room -= pages[-1].offsets.nbytes + pages[-1].byte_counts.nbytes
            if room < 0:
                raise SlideError(f"{path.name!r} is damaged: its pictures list the same tiles over and over")
    if not pages:
        raise SlideError(f"{path.name!r} is damaged: a TIFF without a picture")
    return pages


@dataclass(frozen=True, slots=True)
class _Directory:
    """The entries of one directory: by tag, (type, count, position of the values)."""

    file: BinaryIO
    name: str
    order: str
    entries: dict[int, tuple[int, int, int]]

    def integers(self, tag: int, default: tuple[int, ...], at_most: int = 64) -> tuple[int, ...]:
        """Values of a tag; those beyond `at_most` are a sign of damage."""
        if tag not in self.entries:
            return default
        return tuple(int(value) for value in self.array(tag, at_most))

    def one(self, tag: int, default: int) -> int:
        return self.integers(tag, (default,), at_most=1)[0]

    def array(self, tag: int, at_most: int) -> Chunks:
        if tag not in self.entries:
            return np.zeros(0, dtype=np.uint64)
        kind, count, position = self.entries[tag]
        if kind not in INTEGERS or not 0 < count <= at_most:
            raise SlideError(f"{self.name!r} is damaged: tag {tag} holds {count} values of type {kind}")
        dtype = np.dtype(self.order + INTEGERS[kind])
        content = _read(self.file, self.name, position, count * dtype.itemsize)
        return np.frombuffer(content, dtype).astype(np.uint64)

    def text(self, tag: int) -> str:
        kind, count, position = self.entries.get(tag, (0, 0, 0))
        if kind != ASCII or count > LONGEST_TEXT:
            return ""
        content = _read(self.file, self.name, position, count)
        return content.split(b"\0")[0].decode("utf-8", errors="replace")


def _directories(file: BinaryIO, name: str) -> Iterator[_Directory]:
    magic = file.read(4)
    if magic not in MAGIC:
        raise SlideError(f"cannot read {name!r} as an image: it is no TIFF")
    order, big = MAGIC[magic], magic in BIG
    word = order + ("Q" if big else "I")
    next_at, seen = _unpack(file, name, word, 8 if big else 4), set[int]()
    while next_at:
        if next_at in seen or len(seen) >= MOST_PAGES:
            raise SlideError(f"{name!r} is damaged: its TIFF directories go in a circle")
        seen.add(next_at)
        count = _unpack(file, name, order + ("Q" if big else "H"), next_at)
        start, entry = next_at + (8 if big else 2), struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
        if count > MOST_ENTRIES:
            raise SlideError(f"{name!r} is damaged: a TIFF directory of {count} entries")
        block = _read(file, name, start, count * entry.size)
        entries = {
            tag: (kind, values, _place(kind, values, start + index * entry.size, content, order))
            for index, (tag, kind, values, content) in enumerate(entry.iter_unpack(block))
        }
        ends = (at + values * WIDTHS.get(kind, 0) for kind, values, at in entries.values())
        _check_end(file, name, max(ends, default=0))
        yield _Directory(file, name, order, entries)
        next_at = _unpack(file, name, word, start + count * entry.size)


def _place(kind: int, count: int, entry_at: int, content: bytes, order: str) -> int:
    """Position of an entry's values: in the entry itself where they fit."""
    if count * WIDTHS.get(kind, 0) <= len(content):
        return entry_at + (12 if len(content) == 8 else 8)
    return int(struct.unpack(order + ("Q" if len(content) == 8 else "I"), content)[0])


def _page(directory: _Directory) -> Page:
    size = directory.one(256, 0), directory.one(257, 0)
    samples = directory.one(277, 1)
    tiled = 322 in directory.entries
    chunk = (directory.one(322, 0), directory.one(323, 0)) if tiled else (size[0], directory.one(278, 2**32))
    chunk = chunk[0], chunk[1] if tiled else min(chunk[1], size[1])
    planar = directory.one(284, 1) == 2 and samples > 1
    page_chunks = _chunks(size, chunk) * (samples if planar else 1)
    offsets, byte_counts = (
        directory.array(tag, at_most=max(page_chunks, 1)) for tag in ((324, 325) if tiled else (273, 279))
    )
    if min(*size, *chunk) < 1 or not len(offsets) == len(byte_counts) == page_chunks:
        raise SlideError(
            f"{directory.name!r} is damaged: a picture of {size[0]} × {size[1]} px has {page_chunks} "
            f"{'tiles' if tiled else 'strips'}, but {len(offsets)} are listed"
        )
    return Page(
        size_px=size,
        bits=directory.integers(258, (1,)),
        samples=samples,
        sample_format=max(directory.integers(339, (1,))),
        photometric=directory.one(262, -1) if 262 in directory.entries else -1,
        compression=directory.one(259, 1),
        planar=planar,
        orientation=directory.one(274, 1),
        extra_samples=directory.integers(338, ()),
        tiled=tiled,
        chunk_px=chunk,
        description=directory.text(270),
        offsets=offsets,
        byte_counts=byte_counts,
    )


def _chunks(size: tuple[int, int], chunk: tuple[int, int]) -> int:
    return -(-size[0] // max(chunk[0], 1)) * -(-size[1] // max(chunk[1], 1))


def _unpack(file: BinaryIO, name: str, form: str, position: int) -> int:
    return int(struct.unpack(form, _read(file, name, position, struct.calcsize(form)))[0])


def _read(file: BinaryIO, name: str, position: int, size: int) -> bytes:
    _check_end(file, name, position + size)
    file.seek(position)
    return file.read(size)


def _check_end(file: BinaryIO, name: str, needed: int) -> None:
    end = file.seek(0, 2)
    if needed > end:
        raise SlideError(
            f"{name!r} is truncated or damaged: its TIFF directory points to byte {needed}, "
            f"but the file ends at {end}"
        )
