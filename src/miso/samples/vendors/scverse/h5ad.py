"""An AnnData file (.h5ad) of spots, by the convention of scanpy and squidpy; positions in level-0 pixels.

`obsm["spatial"]` holds the positions, `uns["spatial"][library]` scale factors and small pictures.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.registry import unknown
from miso.samples.vendors.files.damage import refusing_damage
from miso.samples.vendors.files.hdf5 import open_hdf5
from miso.samples.vendors.scverse.ann_spots import in_tissue, make_spots
from miso.samples.vendors.scverse.h5_elements import read_array, read_frames, read_matrix, read_numbers
from miso.samples.vendors.scverse.whole_counts import COUNT_LAYERS, Counted, Matrix, choose_counts
from miso.samples.vendors.section import SmallPicture, VendorOptions, VendorSection
from miso.samples.vendors.space_ranger.pictures import full_size_px
from miso.samples.vendors.spot_array import check_centers
from miso.units import Resolution, is_plausible_mpp

HDF5 = b"\x89HDF\r\n\x1a\n"
POSITIONS = ("spatial", "X_spatial")
FULL = "fullres"
"""What CELLxGENE calls the full-resolution image where the file holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What `uns["spatial"]` says of one section: values, and (width, height) of its pictures, by name.

    `alone` is whether the file holds no other section.
    """

    name: str
    said: dict[str, float] = field(default_factory=dict)
    sizes_px: dict[str, tuple[int, int]] = field(default_factory=dict)
    alone: bool = True

    @property
    def holds_image(self) -> bool:
        """Whether the file's only full-resolution image is this one's; `open_slide` opens it by the file."""
        return FULL in self.sizes_px and self.alone

    def number(self, key: str) -> float | None:
        """Return a positive number, or None."""
        value = self.said.get(key, 0.0)
        return value if 0 < value < np.inf else None


def is_hdf5(path: Path) -> bool:
    """Whether a file begins like HDF5."""
    with refusing_damage(path), path.open("rb") as file:
        return file.read(len(HDF5)) == HDF5


def is_h5ad(path: Path) -> bool:
    """Whether a file is named .h5ad or holds the parts of one."""
    if not path.is_file():
        return False
    if path.suffix.lower() == ".h5ad":
        return True
    try:
        with refusing_damage(path):
            if not is_hdf5(path):
                return False
            with open_hdf5(path) as file:
                return all(key in file for key in ("obs", "var", "obsm"))
    except SampleError:
        return False


def read_h5ad(path: Path, options: VendorOptions) -> VendorSection:
    """Read a section; the spots in the tissue are taken, and counts from where they are kept.

    Raises
    ------
    SampleError
        If the file is damaged, has no positions, holds no counts, or several libraries to choose from.
    AlignmentError
        If array and pixel positions contradict each other.
    """
    with open_hdf5(path) as file:
        tables = _read_tables(path, file)
        obs = tables["obs"]
        library, of_library = _choose_library(path, file, obs, options.library)
        kept, left_out = in_tissue(obs, of_library)
        if not kept.any():
            raise SampleError(f"{path}: not one spot is in the tissue (obs['in_tissue'])")
        center_xy = check_centers(_positions(path, file), path, len(obs), "obsm['spatial']")
        counted = choose_counts(_matrices(path, file, tables), str(path))
    found = make_spots(
        path,
        obs[kept],
        center_xy[kept],
        Counted(counts=counted.counts[kept], var=counted.var, notes=counted.notes),
        options,
        notes=[*left_out, *_told(library)],
        bin_um=library.number("bin_size_um"),
        spot_diameter_px=library.number("spot_diameter_fullres"),
    )
    pictures = _pictures(path, library)
    full_px, slack_px, contradictions = full_size_px(pictures)
    if contradictions:
        full_px = None
        found.spots.notes.extend(contradictions)
    if FULL in library.sizes_px:
        full_px, slack_px = library.sizes_px[FULL], 0.0
    return VendorSection(
        layout=f"AnnData .h5ad ({found.kind})",
        name=library.name or path.stem,
        spots=found.spots,
        resolutions=[*_said_resolution(path, library), *found.resolutions],
        full_size_px=full_px,
        size_slack_px=slack_px,
        image=path if library.holds_image else None,
        pictures=pictures,
        inputs=[path],
    )


def _choose_library(
    path: Path, file: h5py.File, obs: pd.DataFrame, wanted: str
) -> tuple[Library, Bool[NDArray[np.bool_], " spot"]]:
    """Return the library, and which spots are its own."""
    every = np.ones(len(obs), dtype=bool)
    with refusing_damage(path):
        spatial = file.get("uns/spatial")
        groups = spatial.items() if isinstance(spatial, h5py.Group) else ()
        names = [str(name) for name, item in groups if isinstance(item, h5py.Group)]
    column = _library_column(obs, names)
    among = names or (sorted(set(obs[column])) if column else [])
    if wanted and wanted not in among:
        raise SampleError(
            f"{path}: {unknown('library', wanted, among)}" if among else f"{path} names no library"
        )
    if len(among) > 1 and not wanted:
        raise SampleError(
            f"{path} holds {len(among)} libraries ({', '.join(among[:8])}); choose one with --library"
        )
    if not among:
        return Library(name=""), every
    name = wanted or among[0]
    if len(among) > 1 and column is None:
        raise SampleError(
            f"{path} holds {len(among)} libraries, but no column of obs says which spots are whose; "
            "expected one named library_id"
        )
    mine = (obs[column] == name).to_numpy() if column and len(among) > 1 else every
    return _read_library(path, file, name, len(names) == 1) if names else Library(name=name), mine


def _library_column(obs: pd.DataFrame, names: list[str]) -> str | None:
    """Return the column of `obs` whose values are the libraries' names."""
    for column in obs.columns:
        if names and set(names) <= set(obs[column].astype(str)):
            return str(column)
    return "library_id" if not names and "library_id" in obs.columns else None


def _read_library(path: Path, file: h5py.File, name: str, alone: bool) -> Library:
    at = f"uns/spatial/{name}"
    said = read_numbers(path, file, f"{at}/scalefactors")
    with refusing_damage(path):
        images = file.get(f"{at}/images")
        shapes = {key: item.shape for key, item in images.items()} if isinstance(images, h5py.Group) else {}
    sizes = {str(key): (int(s[1]), int(s[0])) for key, s in shapes.items() if len(s) in (2, 3)}
    return Library(name=name, said=said, sizes_px=sizes, alone=alone)


def _positions(path: Path, file: h5py.File) -> Float[NDArray[np.float64], "spot axis"]:
    with refusing_damage(path):
        there = list(file["obsm"]) if "obsm" in file else []
    key = next((key for key in POSITIONS if key in there), None)
    if key is None:
        raise SampleError(
            f"{path} has no obsm['spatial'], the positions of spots in pixels of the full-resolution image "
            f"(obsm has: {', '.join(map(str, there[:8])) or 'nothing'})"
        )
    values = read_array(path, file, f"obsm/{key}")
    if values.dtype.kind not in "iuf":
        raise SampleError(f"{path}: obsm['spatial'] holds no numbers but {values.dtype}")
    return values.astype(np.float64)


def _read_tables(path: Path, file: h5py.File) -> dict[str, pd.DataFrame]:
    with refusing_damage(path):
        keys = ["obs", "var", *(["raw/var"] if "raw/X" in file and "raw/var" in file else [])]
    return dict(zip(keys, read_frames(path, file, keys), strict=True))


def _matrices(path: Path, file: h5py.File, tables: dict[str, pd.DataFrame]) -> list[Matrix]:
    n_spots, var = len(tables["obs"]), tables["var"]
    with refusing_damage(path):
        layers = [f"layers/{key}" for key in COUNT_LAYERS if f"layers/{key}" in file]
        has_x = "X" in file
    described = dict.fromkeys(layers, var)
    if "raw/var" in tables:
        described["raw/X"] = _with_columns(tables["raw/var"], var)
    if has_x:
        described["X"] = var
    return [
        Matrix(
            name=key.replace("/", "."),
            read=partial(read_matrix, path, file, key, (n_spots, len(table))),
            var=table,
        )
        for key, table in described.items()
    ]


def _with_columns(raw: pd.DataFrame, var: pd.DataFrame) -> pd.DataFrame:
    """Complete the genes of `raw` by what `var` says of them."""
    if var.index.has_duplicates or raw.index.has_duplicates:
        return raw
    return raw.join(var[[column for column in var.columns if column not in raw.columns]])


def _pictures(path: Path, library: Library) -> list[SmallPicture]:
    return [
        SmallPicture(path=path, name=name, size_px=size, scale=library.number(f"tissue_{name}_scalef"))
        for name, size in library.sizes_px.items()
        if name != FULL
    ]


def _said_resolution(path: Path, library: Library) -> list[Resolution]:
    mpp = library.number("microns_per_pixel")
    if mpp is None or not is_plausible_mpp(mpp):
        return []
    return [Resolution(mpp=mpp, source=f"microns_per_pixel in {path.name}")]


def _told(library: Library) -> list[str]:
    if library.said or library.sizes_px:
        return []
    return ["uns['spatial'] says nothing of the image; obsm['spatial'] was taken for its level-0 pixels"]
