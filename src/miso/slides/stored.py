"""The image in a store: an OME-Zarr's multiscales, with µm per pixel if they say, or an .h5ad's `fullres`."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
import zarr.errors

from miso.errors import SlideError
from miso.slides.array import DAMAGE, ZARR_FILES, ArraySlide, StoredLevel, check_arrays
from miso.units import Resolution, is_plausible_mpp
from miso.untrusted.folder_links import check_folder
from miso.untrusted.hdf5_links import check_links

TO_UM = {"nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0, "um": 1.0, "µm": 1.0, "millimeter": 1e3}
MIN_CHUNKS = 0.5
"""Share of an image's chunks that must be there; writers leave out chunks that are black all over."""
OLD_AXES = ("t", "c", "z", "y", "x")
"""Of OME-Zarr 0.1 and 0.2, which name none."""
DENSEST = 1100
"""No file holds more than this many bytes a byte of its own, however well it is packed."""


def open_stored_image(path: Path, resolution: Resolution | None) -> ArraySlide:
    """Open the image of a Zarr group (`store.zarr/images/name`), or that of an .h5ad file.

    Raises
    ------
    SlideError
        If there is none, several, or it is damaged or no 8-bit colour image.
    """
    if path.is_file():
        return _open_h5ad(path, resolution)
    try:
        check_folder(path)
        group = zarr.open(str(path), mode="r")
        attributes: dict[str, Any] = group.attrs.asdict()
        if not isinstance(group, zarr.Group):
            raise SlideError(f"{path} is a bare Zarr array; pass the image group that it lies in")
        multiscales = attributes.get("ome", attributes).get("multiscales")
        if not multiscales:
            raise SlideError(_no_image(path, group))
        levels, stated = _multiscale(group, multiscales[0])
        there, of = count_chunks(path, multiscales[0]["datasets"][0]["path"], levels[0].array)
    except (*DAMAGE, zarr.errors.BaseZarrError) as err:
        raise SlideError(f"{path} is damaged or no Zarr image: {' '.join(str(err).split())[:160]}") from err
    levels = check_arrays(path, levels)
    if there < MIN_CHUNKS * of:
        raise SlideError(f"{path} is incomplete: {there} of {of} chunks are there; fetch it again")
    absent = max(of - there, 0)
    return ArraySlide(path, levels, resolution or stated, absent_chunks=absent)


def count_chunks(image: Path, level: str, array: zarr.Array[Any]) -> tuple[int, int]:
    """Count the files of chunks (or shards) that are there, and that there would be if none were empty."""
    sides = zip(array.shape, array.shards or array.chunks, strict=True)
    there = sum(
        file.is_file() and file.name not in (*ZARR_FILES, ".zmetadata") for file in (image / level).rglob("*")
    )
    return there, math.prod(-(-side // chunk) for side, chunk in sides)


def _no_image(path: Path, group: zarr.Group) -> str:
    images = group.get("images")
    names = sorted(images.group_keys()) if isinstance(images, zarr.Group) else []
    there = ", ".join(f"{path.name}/images/{name}" for name in names)
    return f"{path} is a Zarr store and no image" + (f"; pass one of its images: {there}" if there else "")


def _multiscale(group: zarr.Group, said: Mapping[str, Any]) -> tuple[list[StoredLevel], Resolution | None]:
    axes = said.get("axes") or [{"name": name} for name in OLD_AXES]
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]
    names = [str(axis["name"]) for axis in axes]
    if not {"c", "y", "x"} <= set(names):
        raise SlideError(f"an image with the axes {''.join(names)[:20]!r} is no colour image")
    c, y, x = (names.index(name) for name in "cyx")
    levels = [_level(group, str(dataset["path"]), len(names), c, y, x) for dataset in said["datasets"]]
    if not levels:
        raise SlideError("an image without a level")
    return levels, _stated_resolution(said, axes, y, x)


def _level(group: zarr.Group, name: str, n_axes: int, c: int, y: int, x: int) -> StoredLevel:
    array = group[name]
    if not isinstance(array, zarr.Array) or len(array.shape) != n_axes:
        raise SlideError(f"level {name!r} is no array with {n_axes} axes")
    if any(side != 1 for axis, side in enumerate(array.shape) if axis not in (c, y, x)):
        raise SlideError(f"level {name!r} is a stack ({' × '.join(map(str, array.shape))}), not one image")
    return StoredLevel(array=array, c=c, y=y, x=x)


def _stated_resolution(
    said: Mapping[str, Any], axes: Sequence[Mapping[str, Any]], y: int, x: int
) -> Resolution | None:
    """Return µm per pixel of the first level, where the axes have a unit of length."""
    to_um = [TO_UM.get(str(axes[axis].get("unit", ""))) for axis in (y, x)]
    if to_um[0] is None or to_um[1] is None:
        return None
    scale = np.ones(len(axes))
    for source in (said["datasets"][0], said):
        for step in source.get("coordinateTransformations", ()):
            if step.get("type") == "scale" and len(step["scale"]) == len(axes):
                scale = scale * np.asarray(step["scale"], dtype=np.float64)
    along_y, along_x = scale[y] * to_um[0], scale[x] * to_um[1]
    same = 0 < along_x < np.inf and abs(along_y / along_x - 1) < 0.05
    return Resolution(mpp=float(along_x), source="OME-Zarr") if same and is_plausible_mpp(along_x) else None


def full_images(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Find the full-resolution images of an .h5ad by their library, where CELLxGENE keeps them."""
    spatial = file.get("uns/spatial")
    libraries = spatial.items() if isinstance(spatial, h5py.Group) else ()
    found = {
        str(name): item.get("images/fullres") for name, item in libraries if isinstance(item, h5py.Group)
    }
    return {name: item for name, item in found.items() if isinstance(item, h5py.Dataset)}


def _open_h5ad(path: Path, resolution: Resolution | None) -> ArraySlide:
    try:
        file = h5py.File(path, "r")
    except DAMAGE as err:
        raise SlideError(f"{path} is damaged or no .h5ad: {' '.join(str(err).split())[:160]}") from err
    try:
        check_links(file)
        images = full_images(file)
        if len(images) != 1:
            there = f"several: {', '.join(images)}" if images else "none"
            raise SlideError(
                f"{path.name!r} should hold one full-resolution image (uns/spatial/…/images/fullres), but "
                f"has {there}; pass the slide itself"
            )
        array = next(iter(images.values()))
        if array.ndim != 3 or array.size > DENSEST * path.stat().st_size:
            raise SlideError(f"the image in {path.name!r} is damaged: it claims {array.shape} values")
        levels = check_arrays(path, [StoredLevel(array=array, y=0, x=1, c=2)])
    except DAMAGE as err:
        file.close()
        raise SlideError(
            f"the image in {path.name!r} is damaged: {' '.join(str(err).split())[:160]}"
        ) from err
    except SlideError:
        file.close()
        raise
    return ArraySlide(path, levels, resolution, partial(_close, file))


def _close(file: h5py.File) -> None:
    file.close()
