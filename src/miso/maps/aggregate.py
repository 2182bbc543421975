"""Means of a map over regions, cells or spots: a row a region, a column a gene, in the units of the map."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import anndata
import numpy as np
import pandas as pd
import shapely
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import MapError, RegionError
from miso.launch.progress import Track, silent
from miso.launch.provenance import stamp
from miso.maps.coverage import Band, Cells, coverage_by_band, disc_polygons
from miso.maps.expression_map import ExpressionMap, Planes
from miso.maps.header import MapHeader
from miso.maps.regions import Region, check_on_slide
from miso.samples.sample import Sample
from miso.units import in_px

READ_CELLS = 1 << 23
"""Values of a map that are held at a time."""

Means = Float[NDArray[np.float32], "region gene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A rectangle of cells of a map."""

    rows: slice
    columns: slice

    def cells(self, map_: ExpressionMap) -> Cells:
        """Where these cells lie."""
        return Cells.of(map_.raster, self.rows, self.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def aggregate(map_: ExpressionMap, regions: Sequence[Region], track: Track = silent) -> anndata.AnnData:
    """Average every gene over every region.

    A cell counts by the area of it that lies in the region, exactly; NaN cells are left out, and a region
    that sees no other is NaN. Each value of the map is read once. What is held: the result, the coverage
    of one row of chunks, and 32 MiB of the map.

    Returns
    -------
    AnnData
        `X` region × gene; `obs` name, kind, area_um2, covered (the share of the region's area whose cells
        were seen, for the gene that was seen most), x_px and y_px of the centroid, also in
        `obsm["spatial"]`; `uns["miso"]` says of which map.

    Raises
    ------
    RegionError
        If no region lies on the slide.
    """
    if not regions:
        raise RegionError("no region to average over")
    check_on_slide(regions, map_.header.slide.size_px)
    areas = np.array([region.polygon for region in regions], dtype=np.object_)
    sums = np.zeros((len(areas), len(map_)), dtype=np.float32)
    seen = np.zeros(len(areas))  # cells that were seen with the first gene, in cells
    others: dict[int, NDArray[np.float64]] = {}  # more or fewer than that, for the genes that differ
    for genes, band, planes in _read(map_, areas, track):
        there = np.isfinite(planes)
        sums[band.which, genes] += band.shares @ np.where(there, planes, 0).T
        if genes.start == 0:
            first = there[0]
            seen[band.which] += band.shares @ first
        for gene in np.flatnonzero((there != first).any(axis=1)).tolist():
            more = others.setdefault(genes.start + gene, np.zeros(len(areas)))
            more[band.which] += band.shares @ (there[gene].astype(np.float64) - first)
    most = seen.copy()
    for gene in range(len(map_)):
        weight = seen + others[gene] if gene in others else seen
        most = np.maximum(most, weight)
        there = weight > 1e-6
        sums[:, gene] = np.where(there, sums[:, gene] / np.where(there, weight, 1), np.nan)
    return _table(map_, regions, areas, sums, most)


def discs(
    names: Sequence[str], center_xy: Float[NDArray[np.float64], "n 2"], diameter_px: float, kind: str = "spot"
) -> tuple[Region, ...]:
    """Make regions of discs, in level-0 pixels."""
    areas = disc_polygons(center_xy, diameter_px)
    return tuple(Region(name=name, polygon=area, kind=kind) for name, area in zip(names, areas, strict=True))


def spots_of(sample: Sample, map_: ExpressionMap) -> tuple[Region, ...]:
    """Make regions of a Sample's spots, discs or square bins.

    Raises
    ------
    MapError
        If the Sample lies on a slide of another size than the map.
    """
    size_px = sample.manifest["slide"].get("size_px")
    if size_px is not None and tuple(size_px) != map_.header.slide.size_px:
        raise MapError(
            f"sample {sample.name!r} lies on a slide of {in_px(tuple(size_px))}, the map on one of "
            f"{in_px(map_.header.slide.size_px)}; pass the Sample of the slide that was mapped"
        )
    xy = np.asarray(sample.adata.obsm["spatial"], dtype=np.float64)
    names, side_px = list(sample.adata.obs_names), sample.spot_diameter_um / sample.mpp
    if not sample.square_spots:
        return discs(names, xy, side_px)
    low, high = xy - side_px / 2, xy + side_px / 2
    areas = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
    return tuple(
        Region(name=name, polygon=area, kind="spot") for name, area in zip(names, areas, strict=True)
    )


def window_about(map_: ExpressionMap, areas: Sequence[shapely.Geometry] | NDArray[np.object_]) -> Window:
    """Find the cells that some areas may touch: what to read of a map."""
    bounds = shapely.total_bounds(areas)
    low, high = map_.raster.cells_of(bounds[:2]), map_.raster.cells_of(bounds[2:]) + 1
    limit = np.asarray(map_.raster.shape)
    (row0, col0), (row1, col1) = np.clip(low, 0, limit - 1).tolist(), np.clip(high, 1, limit).tolist()
    return Window(rows=slice(row0, row1), columns=slice(col0, col1))


def describe(header: MapHeader) -> dict[str, str | float | list[float]]:
    """Say what a map is, in values that JSON and `.h5ad` both hold; what is nested is JSON text."""
    return {
        "units": header.units,
        "pitch_um": header.pitch_um,
        "origin_xy": list(header.raster.origin_xy),
        "step_px": header.raster.step_px,
        "shape": list(header.raster.shape),
        "frame": "level-0 px of the slide, (x, y), origin at its top-left corner",
        "slide": json.dumps(asdict(header.slide)),
        "provenance": json.dumps(dict(header.provenance)),
        **{f"exported_{key}": value for key, value in stamp().items()},
    }


def _read(
    map_: ExpressionMap, areas: NDArray[np.object_], track: Track
) -> Iterator[tuple[slice, Band, Float[NDArray[np.float32], "gene cell"]]]:
    """Read the map about the regions, one row of chunks after the other, some genes at a time."""
    window = window_about(map_, areas)
    chunk = map_.values.chunks[1]
    window = Window(rows=slice(window.rows.start // chunk * chunk, window.rows.stop), columns=window.columns)
    bands = coverage_by_band(areas, window.cells(map_), chunk)
    for band in track(bands, math.ceil(window.shape[0] / chunk), "averaging over regions"):
        if not len(band.which):
            continue
        rows = slice(window.rows.start + band.rows.start, window.rows.start + band.rows.stop)
        step = max(READ_CELLS // band.shares.shape[1], 1)
        for start in range(0, len(map_), step):
            genes = slice(start, min(start + step, len(map_)))
            planes: Planes = map_.planes(genes, rows, window.columns)
            yield genes, band, planes.reshape(len(planes), -1)


def _table(
    map_: ExpressionMap,
    regions: Sequence[Region],
    areas: NDArray[np.object_],
    means: Means,
    seen: Float[NDArray[np.float64], " region"],
) -> anndata.AnnData:
    step = map_.raster.step_px
    area_px = shapely.area(areas)
    xy = shapely.get_coordinates(shapely.centroid(areas))
    names = [region.name for region in regions]
    obs = pd.DataFrame(
        {
            "name": names,
            "kind": [region.kind for region in regions],
            "area_um2": area_px * (map_.pitch_um / step) ** 2,
            "covered": np.clip(seen * step**2 / area_px, 0, 1),
            "x_px": xy[:, 0],
            "y_px": xy[:, 1],
        },
        index=anndata.utils.make_index_unique(pd.Index(names, dtype=object)),
    )
    table = anndata.AnnData(X=means, obs=obs, var=pd.DataFrame(index=pd.Index(map_.genes, dtype=object)))
    table.obsm["spatial"] = xy
    table.uns["miso"] = describe(map_.header)
    return table
