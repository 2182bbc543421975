"""Files of vendors that may be cut off, garbled or hostile: opened so that damage is one line of words."""

import csv
import gzip
import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, TextIO, cast

import pyarrow as pa
from anndata._io.specs.registry import IORegistryError  # it has no public name

from miso.errors import SampleError

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


def is_packed(path: Path) -> bool:
    """Whether a file is compressed with gzip, by its content."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked if it is compressed with gzip."""
    return cast("IO[bytes]", gzip.open(path, "rb")) if is_packed(path) else path.open("rb")


def open_text(path: Path) -> TextIO:
    """Open a UTF-8 text for reading, unpacked if it is compressed with gzip."""
    if is_packed(path):
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8-sig"))
    return path.open(encoding="utf-8-sig")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises
    ------
    SampleError
        If it is damaged or holds something else.
    """
    with refusing_damage(path), open_text(path) as file:
        content = json.load(file)
    if not isinstance(content, dict):
        raise SampleError(f"{path} is damaged: it holds no JSON object; fetch it again")
    return content
