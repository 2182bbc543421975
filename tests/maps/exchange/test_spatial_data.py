"""A SpatialData store of a map opens with `read_zarr`, and its transformations put all of it on the slide."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import shapely

from miso.errors import MapError
from miso.maps.aggregate import discs
from miso.maps.exchange import export_map
from miso.maps.exchange.formats import Extras
from miso.maps.exchange.spatial_data import write
from miso.maps.exchange.view import view

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sd = pytest.importorskip("spatialdata", reason="the extra 'spatial' is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # those of its dependencies, when it reads


def place(element: object, at: np.ndarray) -> np.ndarray:
    """Send points (x, y) of an element's own pixels to the global frame."""
    from spatialdata.transformations import get_transformation

    matrix = get_transformation(element, "global").to_affine_matrix(("x", "y"), ("x", "y"))
    return (matrix @ np.append(at, 1))[:2]


def test_raster_and_picture_lie_on_the_slide_within_a_pixel(marked, tmp_path: Path) -> None:
    export_map(marked.map, "spatialdata", tmp_path / "s.zarr")
    store = sd.read_zarr(tmp_path / "s.zarr")
    raster, picture = store.images["expression"], store.images["slide"]
    assert list(raster.coords["c"].values) == ["X", "Y", "HOT"]
    np.testing.assert_array_equal(raster.sel(c="Y").values, marked.map["Y"])
    row, column = np.argwhere(raster.sel(c="HOT").values == 9)[0] + 0.5
    assert np.abs(place(raster, np.array([column, row])) - marked.hot_xy).max() < 1e-6
    red = np.argwhere(picture.sel(c="g").values == 0).mean(axis=0)[::-1] + 0.5
    assert np.abs(place(picture, red) - marked.hot_xy).max() < 1
    assert store.attrs["miso"]["units"] == "log1p CP10k"


def test_its_own_extent_and_queries_find_the_cells_where_they_are(marked, tmp_path: Path) -> None:
    export_map(marked.map, "spatialdata", tmp_path / "s.zarr", genes=["HOT"])
    store = sd.read_zarr(tmp_path / "s.zarr")
    for name in ("expression", "slide"):
        extent = sd.get_extent(store.images[name], coordinate_system="global")
        np.testing.assert_allclose([extent["x"], extent["y"]], [(0, 330), (0, 495)])
    hot, near = np.array(marked.hot_xy), marked.step / 2 - 1
    found = sd.bounding_box_query(
        store.images["expression"],
        axes=("x", "y"),
        min_coordinate=hot - near,
        max_coordinate=hot + near,
        target_coordinate_system="global",
    )
    assert found.shape == (1, 1, 1)
    assert found.values.item() == 9


def test_a_region_cut_out_keeps_its_place(marked, tmp_path: Path) -> None:
    export_map(marked.map, "spatialdata", tmp_path / "s.zarr", genes=["HOT"], regions=[marked.region])
    raster = sd.read_zarr(tmp_path / "s.zarr").images["expression"]
    row, column = np.argwhere(raster.values[0] == 9)[0] + 0.5
    np.testing.assert_allclose(place(raster, np.array([column, row])), marked.hot_xy)


def test_regions_go_along_with_their_table(marked, tmp_path: Path) -> None:
    export_map(marked.map, "spatialdata", tmp_path / "s.zarr", regions=[marked.region])
    store = sd.read_zarr(tmp_path / "s.zarr")
    (polygon,) = store.shapes["regions"].geometry
    assert polygon.equals(marked.region.polygon)
    assert list(store.shapes["regions"]["name"]) == ["about"]
    table = store.tables["regions_expression"]
    np.testing.assert_allclose(table[:, "HOT"].X.item(), 9 / (4.5 * 5.6), rtol=1e-5)
    joined, matched = sd.join_spatialelement_table(
        sdata=store, spatial_element_names="regions", table_name="regions_expression"
    )
    assert len(joined["regions"]) == len(matched) == 1


def test_spots_go_along_as_shapes_of_their_size(marked, tmp_path: Path) -> None:
    xy = np.array([[100.0, 150.0], marked.hot_xy])
    spots = discs(["a", "b"], xy, 60.0)
    write(view(marked.map), tmp_path / "s.zarr", Extras(spots=spots))
    store = sd.read_zarr(tmp_path / "s.zarr")
    shapes = store.shapes["spots"].geometry
    np.testing.assert_allclose(shapely.get_coordinates(shapes.centroid), xy, atol=1e-6)
    np.testing.assert_allclose(shapes.area, np.pi * 30**2, rtol=1e-6)
    table = store.tables["spots_expression"]
    assert list(table.obs_names) == ["a", "b"]
    assert table[:, "HOT"].X.argmax() == 1


def test_without_the_package_one_line_says_what_to_install(
    marked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(MapError, match=r"to write SpatialData: pip install 'miso-spatial\[spatial\]'"):
        export_map(marked.map, "spatialdata", tmp_path / "s.zarr")
    assert not (tmp_path / "s.zarr").exists()
