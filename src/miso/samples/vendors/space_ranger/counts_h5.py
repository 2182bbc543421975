"""Count matrices in HDF5: one `matrix` group (version 3), or a group for each genome (version 2)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.samples.vendors.files.damage import refusing_damage, shown
from miso.samples.vendors.files.hdf5 import open_hdf5, search
from miso.samples.vendors.files.hdf5_datasets import Datasets
from miso.samples.vendors.space_ranger.features import GENE, Features, Names
from miso.samples.vendors.space_ranger.matrix import CountMatrix, Entries

AT_ONCE = 2**21
"""Entries that are read at a time."""
KEYS_2 = {"id": "genes", "name": "gene_names"}
"""What version 2 calls the columns of its features."""
STRINGS = ("id", "name", "feature_type", "genome", "gene_id", "gene_name", "genes", "gene_names")
VERSION = re.compile(rb"spaceranger-(\d\.\d+(?:\.\d+)?)")
"""Sought in the file's bytes: the library may crash on a damaged attribute."""


class H5Counts(CountMatrix):
    """An open matrix: compressed by barcode, as Space Ranger writes it."""

    by_barcode: ClassVar[bool] = True

    def __init__(self, path: Path, file: h5py.File, raw: bool) -> None:
        group, genome = _group(path, file)
        self._file = Datasets(path, group)
        nested = "features/" if isinstance(group.get("features"), h5py.Group) else ""
        self._file.read_apart("barcodes", *(f"{nested}{name}" for name in STRINGS))
        barcodes = self._file.strings("barcodes")
        features = _features(self._file, nested, genome, raw)
        found = search(path, VERSION)
        super().__init__(path, barcodes, features, found[1].decode() if found else "")
        self._starts = self._check_starts()

    def _check_starts(self) -> Int[NDArray[np.int64], " barcodes_and_one"]:
        starts = self._file.integers("indptr")
        n_entries = self._file.size("data")
        shape = self._file.integers("shape") if "shape" in self._file.group else None
        wanted = (len(self.features), len(self.barcodes))
        if shape is not None and tuple(shape) != wanted:
            said = " × ".join(f"{side:,}" for side in shape[:4])
            raise SampleError(
                f"{self.path} is damaged: its shape is {said} but it names {wanted[0]:,} features and "
                f"{wanted[1]:,} barcodes; fetch it again"
            )
        fits = len(starts) == wanted[1] + 1 and starts[0] == 0 and starts[-1] == n_entries
        if not fits or n_entries != self._file.size("indices") or (np.diff(starts) < 0).any():
            raise SampleError(
                f"{self.path} is damaged: its index does not fit its {n_entries:,} counts; fetch it again"
            )
        return starts

    def _n_entries(self, kept: Bool[NDArray[np.bool_], " barcode"]) -> int:
        return int(np.diff(self._starts)[kept].sum())

    def _entries(self, kept: Bool[NDArray[np.bool_], " barcode"]) -> Iterator[Entries]:
        first, last = 0, len(kept)
        while first < last:
            until = int(np.searchsorted(self._starts, self._starts[first] + AT_ONCE, side="right")) - 1
            until = min(max(until, first + 1), last)
            wanted = np.flatnonzero(kept[first:until])
            if len(wanted):
                yield self._stretch(first + int(wanted[0]), first + int(wanted[-1]) + 1)
            first = until

    def _stretch(self, first: int, until: int) -> Entries:
        part = slice(int(self._starts[first]), int(self._starts[until]))
        per_barcode = np.diff(self._starts[first : until + 1])
        return Entries(
            barcode=np.repeat(np.arange(first, until), per_barcode),
            feature=self._file.integers("indices", part),
            value=self._file.numbers("data", part),
        )


@contextmanager
def open_h5(path: Path, raw: bool = False) -> Iterator[H5Counts]:
    """Open a matrix; of a `raw` one, only features of the filtered probe set are marked as passed.

    Raises
    ------
    SampleError
        If it is damaged or no count matrix.
    """
    with open_hdf5(path) as file:
        with refusing_damage(path):
            counts = H5Counts(path, file, raw)
        yield counts


def _group(path: Path, file: h5py.File) -> tuple[h5py.Group, str]:
    """Return the group that holds the counts, and the genome that it is named after (version 2)."""
    with refusing_damage(path):
        groups = {str(name): file.get(name) for name in file}
    if isinstance(groups.get("matrix"), h5py.Group):
        return groups["matrix"], ""
    genomes = [n for n, g in groups.items() if isinstance(g, h5py.Group) and {"genes", "indptr"} <= set(g)]
    if len(genomes) == 1:
        return groups[genomes[0]], genomes[0]
    several = f"one for each of {shown(sorted(genomes))}, which MISO does not join" if genomes else "none"
    raise SampleError(
        f"{path} holds no count matrix of Space Ranger: expected a group 'matrix', found {several} "
        f"(in the file: {shown(file)})"
    )


def _features(reader: Datasets, nested: str, genome: str, raw: bool) -> Features:
    path, there = reader.path, set(reader.group["features"] if nested else reader.group)
    probes = bool({"filtered_probes", "gene_id"} & there)
    keys = {"id": "id", "name": "name"} if nested else KEYS_2
    if probes and {"gene_id", "gene_name"} <= there:
        keys = {"id": "gene_id", "name": "gene_name"}

    def names(key: str, default: str | None = None) -> Names:
        if default is not None and key not in there:
            return np.full(len(ids), default, dtype=object)
        return np.asarray(reader.strings(nested + key).to_pylist(), dtype=object)

    ids = names(keys["id"])
    columns = {
        "symbols": names(keys["name"]),
        "types": names("feature_type", GENE),
        "genomes": names("genome", genome),
    }
    passed = reader.flags(f"{nested}filtered_probes") if "filtered_probes" in there else None
    if passed is None:
        passed = _target_set(reader, nested, len(ids)) if raw else np.ones(len(ids), dtype=bool)
    for column in (*columns.values(), passed):
        if len(column) != len(ids):
            raise SampleError(f"{path} is damaged: its features have {len(ids)} ids but {len(column)} names")
    return Features(ids=ids, passed=passed, probes=probes, **columns)


def _target_set(reader: Datasets, nested: str, n: int) -> Bool[NDArray[np.bool_], " feature"]:
    """Return the features that the one target set of a raw matrix names; all of them if there is none."""
    passed = np.ones(n, dtype=bool)
    sets = reader.group.get(f"{nested}target_sets")
    if isinstance(sets, h5py.Group) and len(sets) == 1:
        rows = Datasets(reader.path, sets).integers(next(iter(sets)))
        if not len(rows) or (rows < 0).any() or (rows >= n).any():
            raise SampleError(f"{reader.path} is damaged: its target set names features beyond its {n}")
        passed[:] = False
        passed[rows] = True
    return passed
