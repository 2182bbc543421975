"""Columns of numbers and strings in an HDF5 group, every one checked before it is read."""

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.samples.vendors.files.damage import check_claim, refusing_damage, shown
from miso.samples.vendors.files.hdf5 import check_packing
from miso.samples.vendors.files.hdf5_strings import read_strings


class Datasets:
    """Datasets of a group, every one checked before it is read."""

    def __init__(self, path: Path, group: h5py.Group) -> None:
        self.path, self.group = path, group
        self._apart: dict[str, pa.Array] = {}

    def read_apart(self, *names: str) -> None:
        """Read those of the named datasets that hold strings of varying length, all at one go."""
        there = [name for name in names if isinstance(self.group.get(name), h5py.Dataset)]
        found = {name: self._dataset(name) for name in there}
        varying = {name: one.name for name, one in found.items() if one.dtype.kind == "O"}
        with refusing_damage(self.path):
            for name in varying:
                check_packing(self.path, found[name])
        read = read_strings(self.path, list(varying.values()))
        self._apart |= {name: read[there] for name, there in varying.items()}

    def _dataset(self, name: str) -> h5py.Dataset:
        with refusing_damage(self.path):
            found = self.group.get(name)
            if not isinstance(found, h5py.Dataset) or found.ndim != 1:
                raise SampleError(
                    f"{self.path} holds no count matrix of Space Ranger: it has no {self.group.name}/{name} "
                    f"(found: {shown(self.group)})"
                )
            chunk = int(np.prod(found.chunks)) if found.chunks else 0
            size = max(int(found.size), chunk) * found.dtype.itemsize
            check_claim(self.path, size, f"{found.size:,} {name}")
            return found

    def size(self, name: str) -> int:
        """Return how many values a dataset holds."""
        return int(self._dataset(name).size)

    def numbers(self, name: str, part: slice = slice(None)) -> NDArray[np.float64]:
        """Return some of a dataset as float64."""
        dataset = self._dataset(name)
        if dataset.dtype.kind not in "iuf":
            raise SampleError(f"{self.path} is damaged: {name} are no numbers; fetch it again")
        with refusing_damage(self.path):
            return np.asarray(dataset[part], dtype=np.float64)

    def integers(self, name: str, part: slice = slice(None)) -> NDArray[np.int64]:
        """Return some of a dataset as int64."""
        dataset = self._dataset(name)
        if dataset.dtype.kind not in "iu":
            raise SampleError(f"{self.path} is damaged: {name} are no whole numbers; fetch it again")
        with refusing_damage(self.path):
            return np.asarray(dataset[part], dtype=np.int64)

    def strings(self, name: str) -> pa.Array:
        """Return all of a dataset as strings."""
        if name in self._apart:
            return self._apart[name]
        dataset = self._dataset(name)
        if dataset.dtype.kind != "S":
            raise SampleError(f"{self.path} is damaged: {name} are no strings; fetch it again")
        with refusing_damage(self.path):  # padded with zeros, which do not survive as objects
            return pa.array(dataset[:].astype(object)).cast(pa.string())  # refuses what is no UTF-8

    def flags(self, name: str) -> NDArray[np.bool_]:
        """Return all of a dataset as truth values."""
        dataset = self._dataset(name)
        with refusing_damage(self.path):
            return np.asarray(dataset[:], dtype=bool)
