"""Count matrices in 10x Genomics' two formats, one HDF5 file (version 3) and a folder of three texts."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from miso.phantom.layouts.features import Measured

GENOME = "phantom"
Column = Sequence[str] | NDArray[Any]
"""Texts, or whether."""


def write_h5(path: Path, measured: Measured, *, software: str, chemistry: str, library: str) -> None:
    """Write `filtered_feature_bc_matrix.h5`; features carry id, name, type and genome."""
    features = measured.features
    columns: dict[str, Column] = {
        "feature_type": features.kinds,
        "genome": [GENOME] * len(features),
        "id": features.ids,
        "name": features.names,
    }
    with h5py.File(path, "w") as file:
        write_attributes(file, software=software, chemistry=chemistry, library=library)
        write_matrix(file, measured.barcodes, measured.counts, columns)


def write_attributes(file: h5py.File, *, software: str, chemistry: str, library: str) -> None:
    """Say what made the file."""
    file.attrs["chemistry_description"] = chemistry
    file.attrs["filetype"] = "matrix"
    file.attrs["library_ids"] = np.array([library.encode()])
    file.attrs["original_gem_groups"] = np.array([1])
    file.attrs["software_version"] = software
    file.attrs["version"] = 2


def write_matrix(
    file: h5py.File, barcodes: NDArray[np.str_], counts: csr_array, features: dict[str, Column]
) -> h5py.Group:
    """Write the group `matrix`: a sparse column a barcode, indices of features falling as in real files."""
    matrix = file.create_group("matrix")
    data, indices, indptr = _falling(counts)
    arrays = {
        "barcodes": _texts(barcodes),
        "data": data.astype(np.int32),
        "indices": indices.astype(np.int64),
        "indptr": indptr.astype(np.int64),
        "shape": np.array(counts.shape[::-1], dtype=np.int32),
    }
    for name, values in arrays.items():
        matrix.create_dataset(name, data=values, compression="gzip")
    group = matrix.create_group("features")
    group.create_dataset("_all_tag_keys", data=np.array([b"genome"]))
    for name, column in features.items():
        values = np.asarray(column)
        group.create_dataset(
            name, data=values if values.dtype == bool else _texts(values), compression="gzip"
        )
    return matrix


def write_features(path: Path, measured: Measured) -> None:
    """Write `features.tsv.gz`: id, name and type."""
    features = measured.features
    rows = zip(features.ids, features.names, features.kinds, strict=True)
    _write_lines(path, ["\t".join(row) for row in rows])


def write_barcodes(path: Path, measured: Measured) -> None:
    """Write `barcodes.tsv.gz`."""
    _write_lines(path, list(measured.barcodes))


def write_mtx(path: Path, measured: Measured, *, software: str) -> None:
    """Write `matrix.mtx.gz`: a row a feature, a column a barcode, both from 1."""
    counts = measured.counts
    barcode = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    made_by = json.dumps({"software_version": software, "format_version": 2})
    head = ["%%MatrixMarket matrix coordinate integer general", f"%metadata_json: {made_by}"]
    head.append(f"{counts.shape[1]} {counts.shape[0]} {counts.nnz}")
    entries = zip(counts.indices + 1, barcode + 1, counts.data, strict=True)
    _write_lines(path, [*head, *(f"{row} {column} {count}" for row, column, count in entries)])


def _falling(counts: csr_array) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Entries of each row from the last column to the first."""
    counts = counts.sorted_indices()
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    order = np.lexsort((-counts.indices, row))
    return counts.data[order], counts.indices[order], counts.indptr


def _texts(values: Column) -> NDArray[np.bytes_]:
    """Texts of a fixed length, as 10x stores them."""
    return np.char.encode(np.asarray(values, dtype=np.str_), "ascii")


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=6, mtime=0))
