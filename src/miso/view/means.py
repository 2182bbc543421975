"""Means of a map over a region that somebody drew in the browser; nothing that comes in is trusted."""

import math
from typing import Any

import numpy as np
import shapely

from miso.errors import RegionError
from miso.maps.regions import Region
from miso.untrusted.documents import parse_json
from miso.view.scene import Scene

MOST_BYTES = 1 << 20
"""Of a request: a polygon of some 50,000 points."""


def means_of(scene: Scene, body: bytes) -> dict[str, Any]:
    """Average every gene of a map over a polygon.

    Parameters
    ----------
    body
        JSON: `map`, its number, and `polygon`, a list of (x, y) in level-0 pixels.

    Returns
    -------
    dict
        `area_um2`; `covered`, the share of it that was seen; `means`, one a gene, None if none was seen.

    Raises
    ------
    RegionError
        If it is no such request, or the polygon has no area on the slide.
    """
    from miso.maps.aggregate import aggregate  # with anndata, which takes long to import

    number, polygon = _read(body)
    if not 0 <= number < len(scene.maps):
        raise RegionError(f"there is no map {number} here")
    found = aggregate(scene.maps[number].map, [Region(name="region", polygon=polygon)])
    values = np.asarray(found.X)[0].tolist()
    return {
        "area_um2": float(found.obs["area_um2"].iloc[0]),
        "covered": float(found.obs["covered"].iloc[0]),
        "means": [value if math.isfinite(value) else None for value in values],
    }


def _read(body: bytes) -> tuple[int, shapely.Geometry]:
    try:
        said = parse_json(body)
        number, points = said["map"], np.asarray(said["polygon"], dtype=np.float64)
    except (ValueError, TypeError, KeyError) as err:
        raise RegionError("a region is JSON with a map's number and a polygon of (x, y)") from err
    if not isinstance(number, int) or points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise RegionError("a region is a map's number and a polygon of at least three (x, y)")
    if not np.isfinite(points).all() or np.abs(points).max() > 1e7:
        raise RegionError("the polygon has impossible coordinates")
    area = shapely.make_valid(shapely.Polygon(points))
    pieces = [piece for piece in shapely.get_parts(shapely.get_parts(area)) if piece.area > 0]
    if not pieces:
        raise RegionError("the polygon has no area")
    return number, shapely.union_all(pieces)
