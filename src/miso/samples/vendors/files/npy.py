"""Arrays in `.npy` files of others: mapped, checked against the file's size, and never unpickled."""

import math
import tokenize
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.samples.vendors.files.damage import one_line, refusing_damage
from miso.samples.vendors.files.npy_pickle import MAX_BYTES, strings_in_pickle
from miso.samples.vendors.genes import check_names

READERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


def map_numbers(path: Path, n_axes: int) -> NDArray[Any]:
    """Map an array of numbers, read-only; only what is looked at is read.

    Raises
    ------
    SampleError
        If the file is damaged, cut off, holds something other than numbers, or has another number of axes.
    """
    shape, fortran, dtype, offset = _header(path)
    if dtype.kind not in "iuf":
        raise SampleError(f"{path} holds no numbers but {dtype}")
    if len(shape) != n_axes or 0 in shape:
        raise SampleError(f"{path} has the shape {shape}; expected {n_axes} axes, none of them empty")
    _check_size(path, shape, dtype, offset)
    mapped: NDArray[Any] = np.memmap(
        path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if fortran else "C"
    )
    return mapped


def read_strings(path: Path) -> list[str]:
    """Read a list of names: fixed-width text or bytes, or text in an array of objects, read as data.

    Raises
    ------
    SampleError
        If the file is damaged or holds anything else.
    """
    shape, _, dtype, offset = _header(path)
    if len(shape) != 1:
        raise SampleError(f"{path} has the shape {shape}; expected one axis of names")
    if dtype.kind == "O":
        if path.stat().st_size > MAX_BYTES:
            raise SampleError(f"{path} is too large for a list of names ({path.stat().st_size:,} bytes)")
        with refusing_damage(path):
            content = path.read_bytes()[offset:]
        return _checked(strings_in_pickle(content, shape[0], path), path)
    if dtype.kind not in "US" or not dtype.itemsize:
        raise SampleError(f"{path} holds no names but {dtype}")
    _check_size(path, shape, dtype, offset)
    with refusing_damage(path):
        names = np.fromfile(path, dtype=dtype, offset=offset, count=shape[0])
        texts = [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]
    return _checked(texts, path)


def _checked(names: list[str], path: Path) -> list[str]:
    check_names(names, "spot or gene", path)
    return names


@contextmanager
def write_array(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Write an array row by row: give a function that appends rows. Only what it is given is held."""
    with path.open("wb") as file:
        header = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        npy_format.write_array_header_1_0(file, header)
        start = file.tell()
        yield lambda rows: np.ascontiguousarray(rows, dtype=dtype).tofile(file)
        written = file.tell() - start
    assert written == math.prod(shape) * dtype.itemsize, "rows are missing"


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Read (shape, Fortran order, dtype, offset of the data)."""
    with refusing_damage(path), warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")  # on headers of Python 2
        try:
            version = npy_format.read_magic(file)
            read = READERS.get(version)
            if read is None:
                raise SampleError(
                    f"{path} is of version {version} of the .npy format, which MISO does not read"
                )
            shape, fortran, dtype = read(file)
        except (SyntaxError, tokenize.TokenError) as err:
            raise SampleError(f"{path} is damaged ({one_line(err)}); fetch it again") from err
        offset = file.tell()
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise SampleError(f"{path} is damaged: it has the shape {shape}; fetch it again")
    return shape, fortran, dtype, offset


def _check_size(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
    expected, there = math.prod(shape) * dtype.itemsize, path.stat().st_size - offset
    if there != expected:
        word = "cut off" if there < expected else "damaged"
        raise SampleError(
            f"{path} is {word}: {' × '.join(map(str, shape))} values of {dtype} take {expected:,} bytes, but "
            f"{there:,} are there; fetch it again"
        )
