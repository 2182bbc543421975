"""One processed section on disk: counts, tile features, patch features, label sets, provenance."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem
from jaxtyping import Float16, Int
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.geometry import PatchGrid, TileSpec
from miso.samples.labels import LabelSet, open_labels
from miso.samples.neighbors import nearest_spots
from miso.untrusted.documents import read_json
from miso.untrusted.hdf5_links import LinkError, check_hdf5
from miso.untrusted.names import is_file_name

MANIFEST = "sample.json"
TOTAL = "total_counts"
SCHEMA = 1
"""Version of the Sample folder's layout."""


class Sample:
    """A Sample folder, opened for reading; arrays are read when they are first asked for, and then kept.

    `briefly` lets go of them again. Names of genes and tables, and how many spots there are, are read alone.
    Label sets lie in its folder `labels`, unless another is named.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], labels: Path | None = None) -> None:
        self.path, self.manifest, self._checked = path, manifest, False
        self.labels_path = labels or path / "labels"

    @property
    def name(self) -> str:
        """The section's name."""
        return str(self.manifest["name"])

    @property
    def patient(self) -> str:
        """Whose tissue it is; sections of one patient are never split apart by patient."""
        return str(self.manifest["patient"])

    @property
    def encoder_id(self) -> str:
        """Name and revision of the encoder that made the features."""
        return str(self.manifest["settings"]["encoder"])

    @property
    def mpp(self) -> float:
        """µm per level-0 pixel of the section's slide."""
        return float(self.manifest["resolution"]["mpp"])

    @property
    def spot_diameter_um(self) -> float:
        """Diameter of a spot, or the side of a square bin."""
        return float(self.manifest["spot_diameter_um"])

    @property
    def square_spots(self) -> bool:
        """Whether spots are square bins (Visium HD) and not discs."""
        return self.manifest.get("spot_shape") == "square"

    @property
    def grid(self) -> PatchGrid:
        """The tile that was cut about each spot, and its patches."""
        settings = self.manifest["settings"]
        tile = TileSpec(size_px=settings["tile"]["size_px"], mpp=settings["tile"]["mpp"])
        return PatchGrid(tile=tile, patch_px=settings["patch_px"])

    @property
    def stain(self) -> dict[str, Any]:
        """The stain that tiles were brought to before they were encoded: a method, and its reference."""
        said = self.manifest["settings"].get("stain", {"method": "none"})
        return {key: said[key] for key in ("method", "reference") if key in said}

    @cached_property
    def adata(self) -> anndata.AnnData:
        """Spots × genes: `X` counts; `obsm` spatial, tile_features, neighbors; `uns["miso"]`."""
        with self._file() as path:
            return anndata.read_h5ad(path)

    @contextmanager
    def briefly(self, *, whole: bool = True) -> Iterator[anndata.AnnData]:
        """Give `adata`, and let go of it in the end, unless it had been read before.

        Who passes over more Samples than memory holds reads them one after the other in here. If not `whole`
        it has of `obs` the total counts alone and no `uns`, which are most of the time of reading.
        """
        if "adata" in self.__dict__:
            yield self.adata
            return
        try:
            if not whole:
                self.__dict__["adata"] = self._without_the_rest()
            yield self.adata
        finally:
            self.__dict__.pop("adata", None)

    def _without_the_rest(self) -> anndata.AnnData:
        with self._opened() as file:
            obs, var, obsm = file["obs"], file["var"], file["obsm"]
            return anndata.AnnData(
                X=read_elem(file["X"]),
                obs=pd.DataFrame({TOTAL: read_elem(obs[TOTAL])}, index=read_elem(obs[obs.attrs["_index"]])),
                var=pd.DataFrame(index=read_elem(var[var.attrs["_index"]])),
                obsm={name: read_elem(obsm[name]) for name in obsm},
            )

    @property
    def genes(self) -> list[str]:
        """Names of the genes that were measured."""
        with self._opened() as file:
            var = file["var"]
            return [str(name) for name in read_elem(var[var.attrs["_index"]])]

    @cached_property
    def n_spots(self) -> int:
        """How many spots there are."""
        with self._opened() as file:
            obs = file["obs"]
            return len(read_elem(obs[obs.attrs["_index"]]))

    @cached_property
    def own_tables(self) -> list[str]:
        """Names of the tables that came with the section, beside its counts."""
        with self._opened() as file:
            held = file.get("obsm", {})
            return sorted(name for name in held if held[name].attrs.get("encoding-type") == "dataframe")

    @contextmanager
    def _file(self) -> Iterator[Path]:
        path = self.path / "adata.h5ad"
        try:
            if not self._checked:
                check_hdf5(path)
                self._checked = True
            yield path
        except (OSError, KeyError, LinkError, RecursionError) as err:
            raise SampleError(f"{path} is damaged ({err}); process the section again") from err

    @contextmanager
    def _opened(self) -> Iterator[h5py.File]:
        with self._file() as path, h5py.File(path) as file:
            yield file

    @cached_property
    def patch_features(self) -> Float16[NDArray[np.float16], "spot patch dim"]:
        """Patch features, memory-mapped; patches are row-major within the tile."""
        if "imported_from" in self.manifest["settings"] and not (self.path / "patch_features.npy").exists():
            raise SampleError(
                f"sample {self.name!r} has no patch features: the folder that it was imported from had none; "
                "process the slide itself for them"
            )
        try:
            mapped: Float16[NDArray[np.float16], "spot patch dim"] = np.load(
                self.path / "patch_features.npy", mmap_mode="r"
            )
        except (OSError, ValueError, EOFError) as err:
            raise SampleError(
                f"{self.path / 'patch_features.npy'} is damaged ({err}); process it again"
            ) from err
        return mapped

    def neighbors(self, k: int) -> Int[NDArray[np.int64], "spot k"]:
        """List each spot's k nearest, itself first: those stored where they are long enough."""
        stored = self.adata.obsm["neighbors"]
        if stored.shape[1] >= min(k, len(stored)):
            return np.asarray(stored[:, :k], dtype=np.int64)
        return nearest_spots(self.adata.obsm["spatial"] * self.mpp, k)

    @property
    def label_sets(self) -> list[str]:
        """Names of the label sets that are there."""
        return sorted(path.parent.name for path in self.labels_path.glob("*/labels.json"))

    def labels(self, name: str) -> LabelSet:
        """Open a label set.

        Raises
        ------
        SampleError
            If there is none of that name.
        """
        there = self.label_sets
        if name not in there:
            raise SampleError(
                f"sample {self.name!r} has no label set {name!r} "
                f"({'there: ' + ', '.join(there) if there else 'none at all'}); "
                "miso generate-distillation-labels makes them"
            )
        return open_labels(self.labels_path / name)

    def __repr__(self) -> str:
        return f"Sample({self.name!r}, patient {self.patient!r}, {self.encoder_id}, {self.path})"


def open_sample(path: Path | str, *, labels: Path | None = None) -> Sample:
    """Open a Sample folder, whose label sets may lie in a folder elsewhere.

    Raises
    ------
    SampleError
        If it is none, or is of a layout that this version does not read.
    """
    path = Path(path)
    manifest = read_manifest(path)
    if manifest is None:
        raise SampleError(f"no Sample at {path}: it has no {MANIFEST} (miso process-her2st writes Samples)")
    if manifest.get("schema") != SCHEMA:
        raise SampleError(f"{path} has layout {manifest.get('schema')}, this version of MISO reads {SCHEMA}")
    if not is_file_name(said := manifest.get("name")):
        raise SampleError(f"{path} calls its section {ascii(said)[:60]}, which no file can be called")
    return Sample(path, manifest, labels)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Read a folder's manifest, or None where there is none."""
    file = path / MANIFEST
    if not file.is_file():
        return None
    try:
        manifest: dict[str, Any] = read_json(file)
    except ValueError as err:
        raise SampleError(f"{file} is damaged ({err}); process the section again") from err
    if not isinstance(manifest, dict):
        raise SampleError(f"{file} is damaged: it holds no JSON object; process the section again")
    return manifest


def slide_fingerprint(sample: Sample) -> str:
    """Fingerprint of the image that a Sample was made from."""
    image = Path(sample.manifest["slide"]["path"]).name
    return str(sample.manifest["settings"]["inputs"].get(image, ""))
