"""Parts of an AnnData's HDF5 file, read one by one, each checked before it is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from miso.errors import SampleError
from miso.samples.vendors.files.damage import check_claim, refusing_damage
from miso.samples.vendors.files.hdf5 import check_packing
from miso.samples.vendors.files.hdf5_strings import read_strings

BLOCK_VALUES = 2**24
"""Values of a dense matrix that are held at a time."""


def read_frames(path: Path, file: h5py.File, keys: Sequence[str]) -> list[pd.DataFrame]:
    """Read the columns of tables (`obs`, `var`) that are numbers, texts or categories of them.

    Raises
    ------
    SampleError
        If there is no such table, or one of these columns is damaged.
    """
    with refusing_damage(path):
        tables = [_table(path, file, key) for key in keys]
        parts = [part for _, columns in tables for part in columns.values()]
        texts = _texts(path, [dataset for part in parts for dataset in part])
        return [_frame(path, key, *table, texts) for key, table in zip(keys, tables, strict=True)]


def _table(path: Path, file: h5py.File, key: str) -> tuple[str, dict[str, list[h5py.Dataset]]]:
    """Return the name of the index, and the datasets of every column that is read."""
    group = file.get(key)
    if not isinstance(group, h5py.Group):
        raise SampleError(f"{path} has no table {key!r}; is it an AnnData (.h5ad) of a recent version?")
    index = str(group.attrs.get("_index", "_index"))
    if not isinstance(group.get(index), h5py.Dataset):
        raise SampleError(f"{path} is damaged: the table {key!r} has no index; fetch it again")
    found = {str(name): _parts(group[name]) for name in group if name != "__categories"}
    return index, {name: part for name, part in found.items() if part is not None}


def _frame(
    path: Path,
    key: str,
    index: str,
    parts: dict[str, list[h5py.Dataset]],
    texts: dict[str, NDArray[np.object_]],
) -> pd.DataFrame:
    columns = {name: _column(path, part, texts) for name, part in parts.items()}
    if len({len(values) for values in columns.values()}) != 1:
        raise SampleError(f"{path} is damaged: the columns of {key!r} differ in length; fetch it again")
    names = pd.Index(columns.pop(index).astype(str), dtype=object)
    return pd.DataFrame(columns, index=names)


def _parts(item: h5py.Dataset | h5py.Group) -> list[h5py.Dataset] | None:
    """Return a column's dataset, or codes and categories; None for kinds of columns that no section needs."""
    if isinstance(item, h5py.Dataset):
        return [item] if item.ndim == 1 and item.dtype.kind in "iufbSO" else None
    parts = [item.get("codes"), item.get("categories")]
    known = [part for part in parts if isinstance(part, h5py.Dataset) and part.ndim == 1]
    return known if len(known) == 2 else None


def _texts(path: Path, datasets: list[h5py.Dataset]) -> dict[str, NDArray[np.object_]]:
    """Read strings of varying length apart, since damaged ones crash the library."""
    varying = [dataset for dataset in datasets if dataset.dtype.kind == "O"]
    for dataset in varying:
        check_packing(path, dataset)
        _check(path, dataset)
    read = read_strings(path, [str(dataset.name) for dataset in varying])
    return {name: np.array(values.to_pylist(), dtype=object) for name, values in read.items()}


def _column(path: Path, part: list[h5py.Dataset], texts: dict[str, NDArray[np.object_]]) -> NDArray[Any]:
    values = [_values(path, dataset, texts) for dataset in part]
    if len(values) == 1:
        return values[0]
    codes, categories = values
    if codes.dtype.kind not in "iu" or codes.max(initial=-1) >= len(categories):
        raise SampleError(f"{path} is damaged: {part[0].name} points at no category; fetch it again")
    return np.array([categories[code] if code >= 0 else np.nan for code in codes], dtype=object)


def _values(path: Path, dataset: h5py.Dataset, texts: dict[str, NDArray[np.object_]]) -> NDArray[Any]:
    name = str(dataset.name)
    if name in texts:
        return texts[name]
    _check(path, dataset)
    values = np.asarray(dataset[:])
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def read_numbers(path: Path, file: h5py.File, key: str) -> dict[str, float]:
    """Read the single numbers of a group, empty where there is none."""
    with refusing_damage(path):
        group = file.get(key)
        items = group.items() if isinstance(group, h5py.Group) else ()
        return {
            str(name): float(item[()])
            for name, item in items
            if isinstance(item, h5py.Dataset) and item.shape == () and item.dtype.kind in "iuf"
        }


def read_array(path: Path, file: h5py.File, key: str) -> np.ndarray[Any, Any]:
    """Read an array, or a table as one."""
    with refusing_damage(path):
        values = _read(path, file, key)
        return np.asarray(values)


def read_matrix(path: Path, file: h5py.File, key: str, shape: tuple[int, int]) -> csr_matrix:
    """Read a matrix, sparse or dense, whose indices and shape are checked.

    Raises
    ------
    SampleError
        If it is damaged or of another shape.
    """
    with refusing_damage(path):
        item = file[key]
        matrix = _dense(path, item) if isinstance(item, h5py.Dataset) else _sparse(path, item)
    if matrix.shape != shape:
        raise SampleError(
            f"{path}: {key} is {matrix.shape}, but there are {shape[0]} spots and {shape[1]} genes"
        )
    return matrix


def _dense(path: Path, item: h5py.Dataset) -> csr_matrix:
    if item.ndim != 2 or item.dtype.kind not in "iufb":
        raise SampleError(f"{path}: {item.name} is no matrix of numbers ({item.dtype}, {item.shape})")
    _check(path, item)
    rows = max(BLOCK_VALUES // max(item.shape[1], 1), 1)
    blocks = [
        csr_matrix(item[start : start + rows].astype(np.float32))
        for start in range(0, max(len(item), 1), rows)
    ]
    return _stack(blocks, item.shape)


def _stack(blocks: list[csr_matrix], shape: tuple[int, ...]) -> csr_matrix:
    starts = np.cumsum([0, *(block.nnz for block in blocks)])
    indptr = [block.indptr[1:] + start for block, start in zip(blocks, starts, strict=False)]
    parts = (
        np.concatenate([block.data for block in blocks]),
        np.concatenate([block.indices for block in blocks]),
        np.concatenate([[0], *indptr]),
    )
    return csr_matrix(parts, shape=(shape[0], shape[1]))


def _sparse(path: Path, group: Mapping[str, Any]) -> csr_matrix:
    kind = str(group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", "")))  # type: ignore[attr-defined]
    shape = tuple(map(int, group.attrs.get("shape", group.attrs.get("h5sparse_shape", ()))))  # type: ignore[attr-defined]
    if len(shape) != 2 or min(shape) < 0 or not kind.startswith(("csr", "csc")):
        raise SampleError(
            f"{path}: a matrix is kept as {kind or 'something unknown'!r}, which MISO does not read"
        )
    for name in ("data", "indices", "indptr"):
        _check(path, group[name])
    parts = (group["data"][:].astype(np.float32), group["indices"][:], group["indptr"][:])
    lines = shape[0] if kind.startswith("csr") else shape[1]
    if len(parts[2]) != lines + 1:
        raise SampleError(
            f"{path} is damaged: a sparse matrix of {shape} has {len(parts[2])} pointers; fetch it again"
        )
    matrix = (csr_matrix if kind.startswith("csr") else csc_matrix)(parts, shape=shape)
    matrix.check_format(full_check=True)
    return csr_matrix(matrix)


def _read(path: Path, group: h5py.Group, name: str) -> Any:
    item = group[name]
    for dataset in [item] if isinstance(item, h5py.Dataset) else _datasets(item):
        _check(path, dataset)
    return read_elem(item)


def _datasets(group: h5py.Group) -> list[h5py.Dataset]:
    return [item for item in group.values() if isinstance(item, h5py.Dataset)]


def _check(path: Path, dataset: h5py.Dataset) -> None:
    size = int(np.prod([int(side) for side in dataset.shape], dtype=object)) * max(dataset.dtype.itemsize, 1)
    check_claim(path, size, f"an array of {' × '.join(map(str, dataset.shape))}")
