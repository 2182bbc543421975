"""Shares of cells that polygons cover are those that shapely's intersections have."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from miso.maps import coverage as module
from miso.maps.coverage import Cells, coverage, coverage_by_band

CELLS = Cells(corner_xy=(3.0, -2.0), step_xy=(7.0, 5.0), shape=(12, 9))


def by_intersection(polygons: list[shapely.Geometry], cells: Cells) -> np.ndarray:
    (x, y), (dx, dy) = cells.corner_xy, cells.step_xy
    row, column = np.divmod(np.arange(cells.shape[0] * cells.shape[1]), cells.shape[1])
    boxes = shapely.box(x + column * dx, y + row * dy, x + (column + 1) * dx, y + (row + 1) * dy)
    return shapely.area(shapely.intersection(np.array(polygons)[:, None], boxes)) / (dx * dy)


@given(st.integers(0, 10_000))
def test_shares_are_exact_for_any_valid_polygon_holes_and_parts_included(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygons = []
    for _ in range(4):
        angle, centre = np.sort(rng.uniform(0, 2 * np.pi, 7)), rng.uniform(-10, 70, 2)
        ring = centre + rng.uniform(1, 50, (7, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        area = shapely.make_valid(shapely.Polygon(ring)).difference(shapely.Point(centre).buffer(3))
        polygons += [area] if area.geom_type in ("Polygon", "MultiPolygon") else []
    found = coverage(polygons, CELLS).toarray()
    np.testing.assert_allclose(found, by_intersection(polygons, CELLS), atol=1e-9)


def test_edges_on_lines_of_the_grid_and_corners_on_its_points_are_exact() -> None:
    polygons = [
        shapely.box(3, -2, 66, 58),  # the whole grid
        shapely.box(10, 3, 24, 13),
        shapely.Polygon([(10, 3), (24, 13), (10, 13)]),  # a diagonal through points of the grid
        shapely.box(-100, -100, 500, 500),
        shapely.box(-100, 3, 3, 8),  # touches from outside
        shapely.box(11, 4, 12, 5),  # inside one cell
        shapely.box(11, -50, 12, 500),
        shapely.Polygon(),
    ]
    found = coverage(polygons, CELLS).toarray()
    np.testing.assert_allclose(found, by_intersection(polygons, CELLS), atol=1e-9)
    assert (found[0] == 1).all()
    assert found[-1].sum() == 0


def test_rings_may_run_either_way_round() -> None:
    outer, hole = [(5, 0), (50, 0), (50, 40), (5, 40)], [(20, 10), (30, 10), (30, 20), (20, 20)]
    ways = [shapely.Polygon(outer[::a], [hole[::b]]) for a in (1, -1) for b in (1, -1)]
    found = coverage(ways, CELLS).toarray()
    for each in found:
        np.testing.assert_allclose(each.sum() * 35, 45 * 40 - 100)


def test_batches_and_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    polygons = [shapely.Point(*rng.uniform(0, 60, 2)).buffer(rng.uniform(1, 20)) for _ in range(30)]
    whole = coverage(polygons, CELLS).toarray()
    monkeypatch.setattr(module, "BATCH_CELLS", 20)
    np.testing.assert_allclose(coverage(polygons, CELLS).toarray(), whole, atol=1e-12)
    by_band = np.zeros_like(whole).reshape(30, *CELLS.shape)
    for band in coverage_by_band(polygons, CELLS, 5):
        by_band[band.which, band.rows] = band.shares.toarray().reshape(len(band.which), -1, CELLS.shape[1])
    np.testing.assert_allclose(by_band.reshape(30, -1), whole, atol=1e-9)


def test_no_polygon_covers_nothing() -> None:
    assert coverage([], CELLS).shape == (0, 108)
