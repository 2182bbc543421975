"""Files of vendors that may be cut off, garbled or hostile: opened so that damage is one line of words."""

import csv
import gzip
import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, TextIO

import pyarrow as pa
from anndata._io.specs.registry import IORegistryError  # it has no public name

from miso.errors import SampleError
from miso.launch.memory import available_bytes
from miso.untrusted.documents import load_json

DAMAGE = (
    OSError,
    EOFError,
    ValueError,  # also what is no UTF-8, no JSON, no CSV, and Arrow's complaints
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
    MemoryError,
    csv.Error,
    zlib.error,
    struct.error,
    IORegistryError,
    pa.ArrowException,
)
"""What the libraries of these formats raise on damaged files; wrap nothing but their calls."""
DENSEST = 1100
"""No file holds more than this many bytes a byte of its own: deflate packs 1,032 to 1 at best."""
ALWAYS_FITS = 2**24
"""Claims up to this many bytes need no proof."""
DENSEST_TEXT, ALWAYS_UNPACKED = 200, 2**26
"""Tables pack some 5 to 30 to 1; beyond these times a file's size, and bytes, unpacking stops."""


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into a SampleError of one line."""
    try:
        yield
    except PermissionError as err:
        raise SampleError(f"{path} may not be read: permission denied") from err
    except FileNotFoundError as err:
        raise SampleError(f"no file at {path}") from err
    except DAMAGE as err:
        raise SampleError(f"{path} is truncated or damaged ({one_line(err)}); fetch it again") from err


def one_line(err: BaseException, width: int = 160) -> str:
    """Word an error of a library on one line."""
    text = _printable(" ".join(str(err).split())) or type(err).__name__
    return text if len(text) <= width else f"{text[: width - 1]}…"


def shown(names: Iterable[object], most: int = 6) -> str:
    """Word some of the names that a file gives to its parts, which may be garbled themselves."""
    return ", ".join(_printable(f"{name!s:.30}") for name in islice(names, most)) or "nothing"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def check_claim(path: Path, n_bytes: int, what: str) -> None:
    """Refuse, before anything is allocated, a file that claims more content than it can hold.

    Raises
    ------
    SampleError
        If `n_bytes` do not fit into the file however well they are packed.
    """
    size = path.stat().st_size
    if n_bytes > max(DENSEST * size, ALWAYS_FITS) or n_bytes < 0:
        raise SampleError(
            f"{path} is damaged: it claims {what}, which a file of {size:,} bytes cannot hold; fetch it again"
        )
    if n_bytes > max(ALWAYS_FITS, available_bytes()):
        raise SampleError(
            f"{path} claims {what}, {n_bytes / 1e9:.3g} GB, which do not fit into this machine's memory"
        )


def is_packed(path: Path) -> bool:
    """Whether a file is compressed with gzip, by its content."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked if it is compressed with gzip, but not without end."""
    if not is_packed(path):
        return path.open("rb")
    most = max(DENSEST_TEXT * path.stat().st_size, ALWAYS_UNPACKED)
    return io.BufferedReader(_Unpacked(gzip.GzipFile(path, "rb"), most))


def open_text(path: Path) -> TextIO:
    """Open a UTF-8 text for reading, unpacked if it is compressed with gzip; see `open_bytes`."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig")


class _Unpacked(io.RawIOBase):
    """What a gzip file holds, up to so many bytes: a kilobyte of it can stand for a megabyte."""

    def __init__(self, file: gzip.GzipFile, most: int) -> None:
        self._file, self._most = file, most

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        n = self._file.readinto(buffer)
        self._check(self._file.tell())
        return n

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._check(offset + (self._file.tell() if whence == io.SEEK_CUR else 0))
        return self._file.seek(offset, whence)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _check(self, position: int) -> None:
        if position > self._most:
            raise OSError(f"it unpacks to more than {self._most:,} bytes")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises
    ------
    SampleError
        If it is damaged or holds something else.
    """
    with refusing_damage(path), open_bytes(path) as file:
        content = load_json(file)
    if not isinstance(content, dict):
        raise SampleError(f"{path} is damaged: it holds no JSON object; fetch it again")
    return content
