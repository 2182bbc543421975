"""Regions that somebody drew on a slide: named polygons in level-0 pixels, read from GeoJSON."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import shapely
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import RegionError
from miso.maps.coverage import Cells, coverage_by_band
from miso.slides.mask import SlideMask
from miso.units import in_px
from miso.untrusted.documents import DocumentError, parse_json

log = logging.getLogger(__name__)

Found: TypeAlias = dict[str, Any]
Area: TypeAlias = shapely.Polygon | shapely.MultiPolygon
Ring: TypeAlias = Float[NDArray[np.float64], "point 2"]

MASK_UM, MASK_PX = 4.0, 1 << 24
"""µm per pixel of a mask of regions, and the number of pixels beyond which it gets coarser."""
MASK_BAND_PX = 1 << 20
"""Pixels of a mask that are made at a time."""
MOST_BYTES = 2**31
"""Of a file of regions: some four million cells; each becomes a polygon as soon as it is read."""
SHAPES = ("Polygon", "MultiPolygon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A valid polygon, or several that belong together, in level-0 pixels; `kind` is its classification."""

    name: str
    polygon: Area
    kind: str = ""


def read_regions(path: Path | str) -> tuple[Region, ...]:
    """Read the polygons of a GeoJSON file, as QuPath and others write it, in the order of the file.

    A region is called as its name says, or its classification, or else by its number. Polygons that cross
    themselves are mended; points, lines and polygons without an area are left out, with a warning.

    Raises
    ------
    RegionError
        If the file is not there, is no GeoJSON, or has no polygon.
    """
    path = Path(path)
    features = list(_features(_load(path), path))
    drawn = [(number, feature) for number, feature in enumerate(features, 1) if _is_area(feature)]
    areas = _valid([feature["geometry"]["area"] for _, feature in drawn])
    regions = tuple(
        Region(name=_name(feature, number), kind=_kind(feature), polygon=area)
        for (number, feature), area in zip(drawn, areas, strict=True)
        if area is not None
    )
    if not regions:
        raise RegionError(
            f"{path} has no polygon among its {len(features)} object(s); draw an area and export it"
        )
    if len(regions) < len(features):
        log.warning(
            "%s: %d of %d objects are no areas", path.name, len(features) - len(regions), len(features)
        )
    return regions


def region_mask(
    regions: Sequence[Region],
    slide_size_px: tuple[int, int],
    mpp: float,
    um_per_px: float = MASK_UM,
    max_px: int = MASK_PX,
) -> SlideMask:
    """Mask the places of a slide that lie inside any region: pixels of which at least half does.

    A pixel is `um_per_px`, or more where the mask would have more than `max_px` of them.

    Raises
    ------
    RegionError
        If none of them lies on the slide.
    """
    check_on_slide(regions, slide_size_px)
    width, height = slide_size_px
    step = max(um_per_px / mpp, (width * height / max_px) ** 0.5, 1.0)
    shape = max(round(height / step), 1), max(round(width / step), 1)
    cells = Cells(corner_xy=(0.0, 0.0), step_xy=(width / shape[1], height / shape[0]), shape=shape)
    areas = np.array([region.polygon for region in regions], dtype=np.object_)
    mask = np.zeros(shape, dtype=np.bool_)
    for band in coverage_by_band(areas, cells, MASK_BAND_PX // shape[1] + 1):
        mask[band.rows] = (band.shares.sum(axis=0) >= 0.5).reshape(-1, shape[1])
    return SlideMask(mask=mask, slide_size_px=slide_size_px)


def check_on_slide(regions: Iterable[Region], slide_size_px: tuple[int, int]) -> None:
    """Refuse regions of which none lies on the slide, not even in part."""
    bounds = shapely.bounds([region.polygon for region in regions])
    low, high = bounds[:, :2], bounds[:, 2:]
    if not ((low < slide_size_px) & (high > 0)).all(axis=1).any():
        (x0, y0), (x1, y1) = low.min(axis=0), high.max(axis=0)
        raise RegionError(
            f"the regions lie at x {x0:.6g} to {x1:.6g}, y {y0:.6g} to {y1:.6g}, off the slide of "
            f"{in_px(slide_size_px)}; they have to be in pixels of the full resolution (not µm) of this slide"
        )


def _load(path: Path) -> Any:
    if not path.is_file():
        raise RegionError(f"no GeoJSON file at {path}")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DocumentError(f"it has more than {MOST_BYTES:,} bytes; export fewer objects at a time")
        return parse_json(path.read_bytes(), object_hook=_compact)
    except DocumentError as err:
        raise RegionError(f"{path} is no JSON ({err}); export the annotations as plain GeoJSON") from err
    except (LookupError, TypeError, ValueError, ArithmeticError, shapely.errors.GEOSException) as err:
        raise RegionError(f"a polygon of {path} has no proper coordinates ({err}); export it again") from err


def _compact(found: Found) -> Found:
    """Turn a geometry into a polygon once it is read, and drop what is long and not needed of a cell."""
    if found.get("type") in SHAPES:
        return {"type": found["type"], "area": _area(found)}
    found.pop("nucleusGeometry", None)
    found.pop("measurements", None)
    return found


def _features(data: Any, path: Path) -> Iterator[Found]:
    """Every object as a GeoJSON feature: of a collection, a list, a single feature or a bare geometry."""
    if isinstance(data, list):
        for one in data:
            yield from _features(one, path)
        return
    kind = data.get("type") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(kind, str):
        raise RegionError(f"{path} is JSON but no GeoJSON: an object of it has no type; export it as GeoJSON")
    if kind == "FeatureCollection":
        yield from _features(data.get("features") or [], path)
    elif kind == "GeometryCollection":
        yield from _features(data.get("geometries") or [], path)
    elif kind == "Feature":
        yield data
    else:
        yield {"type": "Feature", "geometry": data}


def _is_area(feature: Found) -> bool:
    geometry = feature.get("geometry")
    return isinstance(geometry, dict) and "area" in geometry


def _valid(areas: Sequence[Area]) -> list[Area | None]:
    """Mend polygons that cross themselves; None where there is no area."""
    made = np.array(areas, dtype=np.object_)
    for index in np.flatnonzero(~shapely.is_valid(made)):
        made[index] = _mended(made[index])
    return [area if area.area > 0 else None for area in made]


def _area(geometry: Found) -> Area:
    given = geometry["coordinates"]
    polygons = [_polygon(rings) for rings in (given if geometry["type"] == "MultiPolygon" else [given])]
    return shapely.MultiPolygon(polygons) if len(polygons) > 1 else polygons[0]


def _polygon(rings: list[Any]) -> shapely.Polygon:
    outer, *holes = [_ring(ring) for ring in rings]
    if len(outer) < 3:
        return shapely.Polygon()
    return shapely.Polygon(outer, [hole for hole in holes if len(hole) >= 3])


def _ring(ring: Any) -> Ring:
    points = np.asarray(ring, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points).all():
        raise ValueError(f"a ring of it is not a list of finite (x, y) but {str(ring)[:40]}")
    return points[:, :2]


def _mended(area: Area) -> Area:
    """Make a polygon that crosses itself valid, and drop the lines that this may leave."""
    pieces = shapely.get_parts(shapely.get_parts(shapely.make_valid(area)))
    return shapely.union_all(pieces[shapely.area(pieces) > 0])


def _name(feature: Found, number: int) -> str:
    said = feature.get("properties")
    properties = said if isinstance(said, dict) else {}
    for name in (properties.get("name"), _kind(feature)):
        if isinstance(name, str | int | float) and str(name).strip():
            return str(name).strip()
    return f"{properties.get('objectType') or 'region'} {number}"


def _kind(feature: Found) -> str:
    """Read the classification: QuPath has its name, or names, in an object; others write a word."""
    properties = feature.get("properties")
    said = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(said, dict):
        names = said.get("names")
        said = ": ".join(map(str, names)) if isinstance(names, list) else said.get("name")
    return said.strip() if isinstance(said, str) else ""
