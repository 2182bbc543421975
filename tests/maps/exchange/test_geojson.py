"""Detections for QuPath: square cells at their places, with their genes as measurements."""

import json
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import shapely

from miso.maps import ExpressionMap
from miso.maps.exchange import export_map
from miso.maps.exchange import view as view_module
from miso.maps.regions import read_regions


def test_cells_are_square_detections_at_their_places(marked, tmp_path: Path) -> None:
    export_map(marked.map, "geojson", tmp_path / "m.geojson")
    data = json.loads((tmp_path / "m.geojson").read_text())
    assert data["type"] == "FeatureCollection"
    assert len(data["features"]) == 27 * 20
    (hot,) = [f for f in data["features"] if f["properties"]["measurements"]["HOT"] == 9]
    assert hot["properties"]["objectType"] == "detection"
    assert hot["properties"]["name"] == "7_11"
    square = shapely.geometry.shape(hot["geometry"])
    assert square.is_valid
    np.testing.assert_allclose(square.centroid.coords[0], marked.hot_xy, atol=0.02)
    np.testing.assert_allclose(square.area, marked.step**2, rtol=2e-3)
    first = data["features"][0]["properties"]["measurements"]
    np.testing.assert_allclose([first["X"], first["Y"]], [0.5 * 16.5, 3.5 * 16.5], rtol=1e-4)
    assert "Y" not in data["features"][-1]["properties"]["measurements"]  # unknown there; JSON has no NaN


def test_geopandas_reads_the_positions(marked, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        geopandas = pytest.importorskip("geopandas", reason="geopandas comes with the extra 'spatial'")
    export_map(marked.map, "geojson", tmp_path / "m.geojson", genes=["X", "HOT"])
    data = json.loads((tmp_path / "m.geojson").read_text())
    frame = geopandas.GeoDataFrame.from_features(data["features"])
    x = np.array([measured["X"] for measured in frame["measurements"]])
    np.testing.assert_allclose(frame.geometry.centroid.x, x, rtol=1e-4)


def test_what_goes_out_comes_back_as_regions(marked, tmp_path: Path) -> None:
    export_map(marked.map, "geojson", tmp_path / "m.geojson", regions=[marked.region], genes=["HOT"])
    cells = read_regions(tmp_path / "m.geojson")
    assert len(cells) == 25
    table = marked.map.aggregate(cells)
    hot = table[table[:, "HOT"].X.ravel() > 8.9]
    assert list(hot.obs_names) == ["7_11"]


def test_a_hundred_thousand_cells_are_written_block_by_block(
    map_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "BLOCK_VALUES", 1 << 14)
    rng = np.random.default_rng(0)
    large: ExpressionMap = map_of(
        {"G": rng.random((320, 330), dtype=np.float32)}, thumbnail=np.zeros((2, 2, 3), np.uint8)
    )
    export_map(large, "geojson", tmp_path / "m.geojson")
    first, *lines, last = (tmp_path / "m.geojson").read_text().splitlines()
    assert len(lines) == 105_600
    assert json.loads(first + lines[0].removesuffix(",") + last)["type"] == "FeatureCollection"
    for number in (0, 329, 330, 70_007, 105_599):
        row, column = divmod(number, 330)
        measured = json.loads(lines[number].removesuffix(","))["properties"]["measurements"]
        assert measured["G"] == pytest.approx(large["G"][row, column], rel=1e-4)


def test_nothing_seen_is_an_empty_collection(map_of, tmp_path: Path) -> None:
    empty = map_of({"G": np.full((4, 4), np.nan, np.float32)})
    export_map(empty, "geojson", tmp_path / "m.geojson")
    assert json.loads((tmp_path / "m.geojson").read_text()) == {"type": "FeatureCollection", "features": []}


def test_very_many_measurements_are_warned_of(
    map_of, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    many = map_of({f"G{n}": np.ones((2, 2), np.float32) for n in range(101)})
    with caplog.at_level(logging.WARNING):
        export_map(many, "geojson", tmp_path / "m.geojson")
    assert "101 measurements a detection are many for QuPath" in caplog.text
