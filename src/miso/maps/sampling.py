"""Values of a raster at places, and means over what is seen about them; places are level-0 pixels, (x, y)."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import sparse

from miso.geometry import Points, Raster
from miso.maps.coverage import Cells, Geometries, coverage

Plane = Float[NDArray[np.float32], "row col"]
Values = Float[NDArray[np.float32], "*n"]


def sample(plane: Plane, raster: Raster, xy: Points) -> Values:
    """Values of the cells that contain the positions; NaN outside the raster."""
    cells = raster.cells_of(xy)
    inside = raster.contains(cells)
    row, col = np.moveaxis(np.where(inside[..., None], cells, 0), -1, 0)
    return np.asarray(np.where(inside, plane[row, col], np.nan), dtype=np.float32)


def resample(plane: Plane, raster: Raster, onto: Raster) -> Plane:
    """Means over the cells of another raster, by area; NaN cells are left out, NaN where all are."""
    down, across = (_shared(raster, onto, axis) for axis in (0, 1))
    seen = np.isfinite(plane)
    total = down @ (across @ np.where(seen, plane, 0).astype(np.float64).T).T
    area = down @ (across @ seen.astype(np.float64).T).T
    return _means(total, area)


def _shared(raster: Raster, onto: Raster, axis: int) -> sparse.csr_array:
    """Length that each cell of a raster shares with each of another along rows (0) or columns (1)."""
    edges, wanted = (
        r.origin_xy[1 - axis] + (np.arange(r.shape[axis] + 1) - 0.5) * r.step_px for r in (raster, onto)
    )
    cuts = np.unique(
        np.clip(np.concatenate([edges, wanted]), max(edges[0], wanted[0]), min(edges[-1], wanted[-1]))
    )
    middle, length = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    cell, other = (np.searchsorted(of, middle) - 1 for of in (edges, wanted))
    shape = onto.shape[axis], raster.shape[axis]
    return sparse.csr_array((length / raster.step_px, (other, cell)), shape=shape)


def pool(plane: Plane, raster: Raster, areas: Geometries) -> Values:
    """Means over areas, by the share of each cell inside; NaN cells are left out, NaN where all are."""
    rows, columns = raster.shape
    shares = coverage(areas, Cells.of(raster, slice(0, rows), slice(0, columns)))
    seen = np.isfinite(plane)
    return _means(shares @ np.where(seen, plane, 0).ravel(), shares @ seen.ravel().astype(np.float64))


def _means(total: NDArray[np.float64], area: NDArray[np.float64]) -> NDArray[np.float32]:
    means = np.full(total.shape, np.nan, dtype=np.float32)
    np.divide(total, area, out=means, where=area > 1e-9, casting="same_kind")
    return means
