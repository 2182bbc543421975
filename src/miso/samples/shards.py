"""Arrays that are written to disk shard by shard, in bounded memory, and survive any interruption.

A shard is some rows of every array. It is done when its bytes are safely on the disk and the journal says so,
with their checksums: what is cut short, overwritten or of other inputs is found out and made again.
"""

import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from miso.untrusted.documents import read_json

CHUNK = 8 * 2**20
"""Bytes that are read at a time when checksums are compared."""


class RowFile:
    """A `.npy` file whose rows are written with plain writes: a memory map's dirty pages would count as ours.

    Errors of the file system are `OSError` and name the file.
    """

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self.row_bytes = int(np.prod(shape[1:])) * self.dtype.itemsize
        self._header = _header(self.dtype, shape)
        self.size = len(self._header) + shape[0] * self.row_bytes
        self._file = -1

    def is_whole(self) -> bool:
        """Whether the file is there at full length, with the header of this very array."""
        if not self.path.is_file() or self.path.stat().st_size != self.size:
            return False
        with self.path.open("rb") as file:
            return file.read(len(self._header)) == self._header

    def on_disk(self) -> int:
        """Bytes that the file occupies already."""
        return getattr(self.path.stat(), "st_blocks", 0) * 512 if self.path.is_file() else 0

    def open(self, *, fresh: bool) -> None:
        """Open for writing; a fresh file has its full length and no content."""
        with _naming(self.path):
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | (os.O_TRUNC if fresh else 0)
            self._file = os.open(self.path, flags, 0o666)
            if fresh:
                os.write(self._file, self._header)
                os.truncate(self._file, self.size)

    def write(self, start: int, rows: NDArray[Any]) -> memoryview:
        """Write rows from `start` on, and return the bytes that were written."""
        data = np.ascontiguousarray(rows, dtype=self.dtype).view(np.uint8).reshape(-1).data
        offset = len(self._header) + start * self.row_bytes
        with _naming(self.path):
            done = 0
            os.lseek(self._file, offset, os.SEEK_SET)
            while done < len(data):
                done += os.write(self._file, data[done:])
            if hasattr(os, "posix_fadvise"):  # on Linux: begin to write to the disk now, not all at the end
                os.posix_fadvise(self._file, offset, len(data), os.POSIX_FADV_DONTNEED)
        return data

    def checksum(self, start: int, stop: int) -> int:
        """CRC-32 of the bytes of rows [start, stop) as they are in the file."""
        crc, left = 0, (stop - start) * self.row_bytes
        with self.path.open("rb") as file:
            file.seek(len(self._header) + start * self.row_bytes)
            while block := file.read(min(left, CHUNK)):
                crc, left = zlib.crc32(block, crc), left - len(block)
        return crc

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        with _naming(self.path):
            os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class ShardStore:
    """Arrays of as many rows, and the journal of the shards that are safely in them.

    Parameters
    ----------
    journal
        File of the journal, beside the arrays.
    key
        Whatever the rows depend on: shards made under another key are made again.
    shard
        Rows a shard.
    """

    def __init__(self, arrays: Sequence[RowFile], journal: Path, key: dict[str, Any], shard: int) -> None:
        self._arrays, self._journal, self._shard = arrays, journal, shard
        self._key: dict[str, Any] = json.loads(json.dumps({**key, "shard": shard}))
        self._rows = arrays[0].shape[0]
        self._done: dict[int, list[int]] = {}
        self._running = [0] * len(arrays)

    def __enter__(self) -> Self:
        """Open the arrays, keeping the shards that are whole.

        Raises
        ------
        OSError
            If the disk has no room for the arrays, or they cannot be written there.
        """
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        self._done = self._found()
        self._check_room()
        if not self._done:
            self._journal.unlink(missing_ok=True)
        for array in self._arrays:
            array.open(fresh=not self._done)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for array in self._arrays:
            array.close()

    def missing(self) -> list[int]:
        """First rows of the shards that are still to be made."""
        return [start for start in range(0, self._rows, self._shard) if start not in self._done]

    def ends_shard(self, stop: int) -> bool:
        """Whether rows up to `stop` make a shard full."""
        return stop % self._shard == 0 or stop == self._rows

    def put(self, start: int, rows: Sequence[NDArray[Any]]) -> None:
        """Write rows of every array; rows of a shard come in order, and its last ones make it safe."""
        if start % self._shard == 0:
            self._running = [0] * len(self._arrays)
        for index, (array, part) in enumerate(zip(self._arrays, rows, strict=True)):
            self._running[index] = zlib.crc32(array.write(start, part), self._running[index])
        if self.ends_shard(start + len(rows[0])):
            self._commit(start // self._shard * self._shard)

    def _commit(self, shard: int) -> None:
        for array in self._arrays:
            array.sync()
        self._done[shard] = self._running
        temporary = self._journal.with_suffix(".tmp")
        content = json.dumps({"key": self._key, "done": [[at, *sums] for at, sums in self._done.items()]})
        with _naming(temporary), temporary.open("w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._journal)

    def _found(self) -> dict[int, list[int]]:
        """Shards of this key whose bytes are what the journal says."""
        if not self._journal.is_file() or not all(array.is_whole() for array in self._arrays):
            return {}
        try:
            journal = read_json(self._journal)
            key, done = journal["key"], {int(at): list(sums) for at, *sums in journal["done"]}
        except (ValueError, KeyError, TypeError):  # a power cut or a flipped bit
            return {}
        return {at: sums for at, sums in done.items() if key == self._key and self._is_sound(at, sums)}

    def _is_sound(self, start: int, sums: list[int]) -> bool:
        if not 0 <= start < self._rows or start % self._shard:
            return False
        stop = min(start + self._shard, self._rows)
        return sums == [array.checksum(start, stop) for array in self._arrays]

    def _check_room(self) -> None:
        folder = self._journal.parent
        there = sum(array.on_disk() for array in self._arrays)
        needed, free = sum(array.size for array in self._arrays) - there, shutil.disk_usage(folder).free
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"features of {self._rows} spots take {_in_words(needed)} in {folder}, "
                f"where {_in_words(free)} are free",
            )


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    description = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(buffer, description)
    return buffer.getvalue()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Give an error of an open file its file's name."""
    try:
        yield
    except OSError as err:
        if err.filename is not None:
            raise
        raise OSError(err.errno, err.strerror, str(path)) from err


def _in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
