"""A SpatialData store (.zarr): spots as shapes, counts as a table, and the image; needs the extra `spatial`.

Spot centres are brought into the image's own pixels by the transformations that the store states.
"""

import re
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from miso.errors import SampleError
from miso.geometry import Points
from miso.registry import unknown
from miso.samples.vendors.files.damage import DAMAGE, one_line, refusing_damage
from miso.samples.vendors.scverse.ann_spots import in_tissue, make_spots
from miso.samples.vendors.scverse.spatial_images import Placed, choose_image
from miso.samples.vendors.scverse.whole_counts import COUNT_LAYERS, Counted, Matrix, choose_counts
from miso.samples.vendors.scverse.zarr_strings import check_texts
from miso.samples.vendors.section import VendorOptions, VendorSection
from miso.samples.vendors.spot_array import check_centers
from miso.untrusted.folder_links import check_folder

INSTALL = 'pip install "miso-spatial[spatial]"'
SQUARE = re.compile(r"square_(\d{3})um")
PARTS = ("images", "shapes", "tables")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A table, and the one element of the store whose instances its rows describe."""

    table: str
    region: str
    rows: anndata.AnnData
    instances: list[Any]

    @property
    def bin_um(self) -> float | None:
        """Side of the Visium HD bins that table or region are named after."""
        found = SQUARE.search(self.region) or SQUARE.search(self.table)
        return float(found[1]) if found else None


def is_spatial_data(path: Path) -> bool:
    """Whether a path is a Zarr store with the parts of a SpatialData."""
    marked = any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs"))
    return path.is_dir() and marked and any((path / part).is_dir() for part in ("tables", "table", "shapes"))


def read_spatial_data(path: Path, options: VendorOptions) -> VendorSection:
    """Read a section; `image` is its image inside the store, which `open_slide` opens.

    Raises
    ------
    SampleError
        If the extra is not installed, the store is damaged, or there are several sections to choose from.
    AlignmentError
        If array and pixel positions contradict each other.
    """
    store = _open(path)
    found = _choose_table(path, store, options)
    kept, notes = in_tissue(found.rows.obs, np.ones(len(found.instances), dtype=bool))
    if not kept.any():
        raise SampleError(f"{path}: not one spot of {found.region!r} is in the tissue")
    outlines, diameter = _outlines(path, store, found)
    placed = choose_image(path, store, found.region)
    center_xy = check_centers(_apply(placed, outlines), path, len(outlines), f"shapes/{found.region}")
    counted = choose_counts(_matrices(found.rows), f"{path}: the table {found.table!r}")
    made = make_spots(
        path,
        found.rows.obs[kept],
        center_xy[kept],
        Counted(counts=counted.counts[kept], var=counted.var, notes=counted.notes),
        options,
        notes=[*notes, *placed.notes],
        bin_um=found.bin_um,
        spot_diameter_px=diameter * placed.scale if diameter else None,
    )
    folders = [path / "tables" / found.table, path / "shapes" / found.region]
    return VendorSection(
        layout=f"SpatialData ({made.kind})",
        name=found.region,
        spots=made.spots,
        resolutions=[*made.resolutions, *placed.resolutions],
        full_size_px=placed.size_px,
        image=placed.path,
        pictures=placed.pictures,
        inputs=[*folders, *([placed.path] if placed.path else [])],
    )


def _open(path: Path) -> Any:
    try:
        import spatialdata
        from shapely.errors import ShapelyError
    except ImportError as err:
        raise SampleError(f"{path.name!r} is a SpatialData store; to read it: {INSTALL} ({err})") from err
    with refusing_damage(path):
        check_folder(path)
    check_texts(path / "tables")
    parts = tuple(part for part in PARTS if (path / part).is_dir())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on old versions of the format, which it reads all the same
            return spatialdata.read_zarr(path, selection=parts)
    except (*DAMAGE, AssertionError, ShapelyError) as err:
        raise SampleError(f"{path} is damaged or no SpatialData store: {one_line(err)}") from err


def _choose_table(path: Path, store: Any, options: VendorOptions) -> Annotation:
    """Choose by `--library` (a table or a region) and `--bin-um`, unless there is but one."""
    pairs = [
        (str(name), region)
        for name, table in store.tables.items()
        for region in _regions(table)
        if region in store.shapes
    ]
    if not pairs:
        there = ", ".join(map(str, store.tables)) or "none"
        raise SampleError(f"{path} has no table of counts on spots or bins kept as shapes (tables: {there})")
    wanted = options.library
    if wanted and not any(wanted in pair for pair in pairs):
        raise SampleError(
            f"{path}: {unknown('library', wanted, sorted({n for pair in pairs for n in pair}))}"
        )
    chosen = [pair for pair in pairs if not wanted or wanted in pair]
    if options.bin_um is not None:
        label = f"square_{options.bin_um:03.0f}um"
        chosen = [pair for pair in chosen if label in pair[0] or label in pair[1]]
        if not chosen:
            raise SampleError(
                f"{path} has no table named after {label}: {_named(pairs)}; choose with --bin-um"
            )
    if len(chosen) > 1:
        raise SampleError(
            f"{path} holds {len(chosen)} sections or bin sizes: {_named(chosen)}; "
            "choose with --library or --bin-um"
        )
    return _annotation(path, store, *chosen[0])


def _named(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(table if table == region else f"{table} on {region}" for table, region in pairs[:8])


def _regions(table: anndata.AnnData) -> list[str]:
    regions = table.uns.get("spatialdata_attrs", {}).get("region", [])
    return [str(region) for region in ([regions] if isinstance(regions, str) else regions)]


def _annotation(path: Path, store: Any, name: str, region: str) -> Annotation:
    table = store.tables[name]
    attrs = table.uns["spatialdata_attrs"]
    keys = [str(attrs.get("region_key")), str(attrs.get("instance_key"))]
    absent = [key for key in keys if key not in table.obs.columns]
    if absent:
        raise SampleError(
            f"{path}: the table {name!r} lacks the column {absent[0]!r} that ties rows to spots"
        )
    rows = table[(table.obs[keys[0]].astype(str) == region).to_numpy()]
    if not len(rows):
        raise SampleError(f"{path}: the table {name!r} has no row of {region!r}")
    return Annotation(table=name, region=region, rows=rows, instances=list(rows.obs[keys[1]]))


def _outlines(
    path: Path, store: Any, found: Annotation
) -> tuple[Float[NDArray[np.float64], "spot 2"], float | None]:
    """Return the centres of the spots as the store has them, in the table's order, and their diameter."""
    shapes = store.shapes[found.region]
    if not shapes.index.is_unique:
        raise SampleError(f"{path}: instances of {found.region!r} are named twice")
    at = shapes.index.get_indexer(pd.Index(found.instances))
    if (at < 0).any():
        raise SampleError(
            f"{path}: {(at < 0).sum()} of {len(at)} rows of the table {found.table!r} name no shape of "
            f"{found.region!r} (first: {found.instances[int((at < 0).argmax())]!r})"
        )
    chosen = shapes.iloc[at]
    centroid = chosen.geometry.centroid
    diameter = 2 * float(np.median(chosen["radius"])) if "radius" in chosen else None
    return np.stack([centroid.x.to_numpy(), centroid.y.to_numpy()], axis=1), diameter


def _apply(placed: Placed, points: Points) -> Points:
    return np.asarray(points @ placed.affine[:2, :2].T + placed.affine[:2, 2])


def _matrices(rows: anndata.AnnData) -> list[Matrix]:
    tables: dict[str, tuple[Any, pd.DataFrame]] = {
        f"layers.{key}": (rows.layers[key], rows.var) for key in COUNT_LAYERS if key in rows.layers
    }
    if rows.raw is not None:
        tables["raw.X"] = (rows.raw.X, rows.raw.var)
    if rows.X is not None:
        tables["X"] = (rows.X, rows.var)
    return [
        Matrix(name=name, read=partial(_sparse, values), var=var) for name, (values, var) in tables.items()
    ]


def _sparse(values: Any) -> csr_matrix:
    return csr_matrix(values).astype(np.float32)
