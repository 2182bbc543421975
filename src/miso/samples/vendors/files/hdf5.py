"""HDF5 files of vendors, opened so that a damaged one neither raises what nobody expects nor hangs."""

import io
import math
import mmap
import re
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import h5py

from miso.errors import SampleError
from miso.samples.vendors.files.damage import check_claim, is_packed, open_bytes, refusing_damage
from miso.untrusted.hdf5_links import check_links

HEAP = b"GCOL\x01"
"""What a collection of strings of varying length begins with: signature and version."""
HEAD = struct.Struct("<8sQ")
OBJECT = struct.Struct("<HHIQ")


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading, unpacked into memory if it is compressed with gzip.

    Raises
    ------
    SampleError
        If it is absent, damaged, or no HDF5 file.
    """
    with refusing_damage(path):
        with _bytes_of(path) as content:
            _check_heaps(path, content)
        file = h5py.File(io.BytesIO(content) if isinstance(content, bytes) and content else path, "r")
    try:
        with refusing_damage(path):
            check_links(file)
        yield file
    finally:
        file.close()


def _unpack(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-4, io.SEEK_END)
        check_claim(path, int.from_bytes(file.read(4), "little"), "what it unpacks to")
    with open_bytes(path) as unpacked:
        return unpacked.read()


@contextmanager
def _bytes_of(path: Path) -> Iterator[bytes | mmap.mmap]:
    """Give a file's bytes, unpacked if it is compressed with gzip; otherwise read only where needed."""
    if is_packed(path):
        yield _unpack(path)
    elif not path.stat().st_size:
        yield b""
    else:
        with path.open("rb") as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as mapped:
            yield mapped


def search(path: Path, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
    """Find a pattern in the bytes of a file."""
    with refusing_damage(path), _bytes_of(path) as content:
        found = pattern.search(content)
        return pattern.match(found[0]) if found else None  # of its own bytes: the file is closed now


def _check_heaps(path: Path, content: bytes | mmap.mmap) -> None:
    """Refuse string collections with an object of no size, on which the HDF5 library (2.0) loops for ever."""
    start = content.find(HEAP)
    while start >= 0:
        if not _is_sound(content, start):
            raise SampleError(f"{path} is damaged: its strings at byte {start:,} are garbled; fetch it again")
        start = content.find(HEAP, start + len(HEAP))


def _is_sound(content: bytes | mmap.mmap, start: int) -> bool:
    """Whether every object of a collection leads on to the next; what is no collection is sound."""
    if start + HEAD.size > len(content):
        return True
    _, size = HEAD.unpack_from(content, start)
    at, end = start + HEAD.size, start + size
    while at + OBJECT.size <= min(end, len(content)):
        number, _, _, length = OBJECT.unpack_from(content, at)
        step = length if number == 0 else OBJECT.size + (length + 7) // 8 * 8
        if step < OBJECT.size:
            return False
        at += step
    return True


def check_packing(path: Path, dataset: h5py.Dataset) -> None:
    """Refuse strings of varying length of which a part claims not to be compressed as the others are.

    Read as they are, its bytes would be taken for lengths, and gigabytes be allocated for each.

    Raises
    ------
    SampleError
        If a part is damaged in that way.
    """
    if dataset.dtype.kind != "O" or dataset.chunks is None:
        return
    masks = [dataset.id.get_chunk_info(at).filter_mask for at in range(dataset.id.get_num_chunks())]
    if (
        any(masks) and math.prod(dataset.chunks) > 8
    ):  # a few references may not shrink, and are left as they are
        raise SampleError(f"{path} is damaged: its {dataset.name} are garbled; fetch it again")
