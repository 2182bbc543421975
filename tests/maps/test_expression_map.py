"""A map opened again gives its values at positions and under spots, and says what is wrong with a bad one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from miso.errors import MapError
from miso.geometry import Raster
from miso.maps import ExpressionMap, open_map
from miso.models.calibration import Calibration

MapOf = Callable[..., ExpressionMap]


@pytest.fixture
def ramp(map_of: MapOf) -> ExpressionMap:
    plane = np.arange(12 * 10, dtype=np.float32).reshape(12, 10)
    plane[0, 0] = np.nan
    return map_of({"KRT8": plane, "CD3D": -plane})


def test_a_gene_is_a_plane_of_rows_and_columns(ramp: ExpressionMap) -> None:
    assert ramp["CD3D"].shape == (12, 10)
    assert ramp["CD3D"].dtype == np.float32
    assert ramp["KRT8"][3, 4] == 34
    assert np.isnan(ramp["KRT8"][0, 0])


def test_a_map_names_its_genes_and_geometry(ramp: ExpressionMap) -> None:
    assert list(ramp) == ["KRT8", "CD3D"] == list(ramp.genes)
    assert "KRT8" in ramp
    assert len(ramp) == 2
    assert (ramp.units, ramp.pitch_um) == ("log1p CP10k", 8.0)
    assert (ramp.origin_xy, ramp.step_xy) == ((8.0, 8.0), (16.0, 16.0))
    assert repr(ramp) == "ExpressionMap('m.zarr', 2 genes × 12 × 10 cells of 8 µm)"


def test_an_unknown_gene_is_met_with_a_suggestion(ramp: ExpressionMap) -> None:
    with pytest.raises(MapError, match=r"unknown gene 'KRT18'; did you mean 'KRT8'\? \(in map 'm.zarr'\)"):
        ramp["KRT18"]


def test_a_position_gives_the_cell_that_contains_it(ramp: ExpressionMap) -> None:
    xy = np.array([[4 * 16 + 0.1, 3 * 16 + 15.9], [4 * 16 + 8, 3 * 16 + 8], [159.9, 191.9]])
    np.testing.assert_array_equal(ramp.at(xy, "KRT8"), [34, 34, 119])


def test_a_position_off_the_map_is_nan(ramp: ExpressionMap) -> None:
    xy = np.array([[-0.1, 50.0], [50, -0.1], [160.1, 50], [50, 192.1]])
    assert np.isnan(ramp.at(xy, "KRT8")).all()


def test_a_disc_inside_one_cell_has_its_value(ramp: ExpressionMap) -> None:
    assert ramp.pool(np.array([[4 * 16 + 8.0, 3 * 16 + 8.0]]), 7.0, "KRT8") == pytest.approx(34)


def test_a_disc_counts_cells_by_the_share_they_cover(map_of: MapOf) -> None:
    plane = np.zeros((10, 10), dtype=np.float32)
    plane[:, 5:] = 1
    two = map_of({"G": plane})
    centres = np.array([[80.0, 80.0], [80.0 - 10, 80.0], [40.0, 80.0]])
    radius, height = 20.0, 10.0  # the disc on the right of a chord 10 px from the centre
    cap = np.arccos(height / radius) / np.pi - height * np.sqrt(radius**2 - height**2) / (np.pi * radius**2)
    assert two.pool(centres, 20.0, "G") == pytest.approx([0.5, cap, 0.0], abs=0.005)


def test_a_disc_leaves_unseen_cells_out(map_of: MapOf) -> None:
    plane = np.full((10, 10), 3.0, dtype=np.float32)
    plane[:, 5:] = np.nan
    half = map_of({"G": plane})
    pooled = half.pool(np.array([[80.0, 80.0], [140.0, 80.0], [-500.0, 0.0]]), 20.0, "G")
    np.testing.assert_array_equal(pooled, [3.0, np.nan, np.nan])


def test_on_a_coarser_raster_cells_are_averaged(map_of: MapOf) -> None:
    fine = map_of({"A": np.arange(24, dtype=np.float32).reshape(4, 6)}, 8.0)
    coarse = fine.over(Raster.over((48, 32), 16.0), "A")
    np.testing.assert_allclose(coarse, [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]])
    shifted = Raster(origin_xy=(12.0, 8.0), step_px=16.0, shape=(1, 3))  # half a cell beyond the map
    np.testing.assert_allclose(fine.over(shifted, "A"), [[4, 6, 14 / 3 + 3]], rtol=1e-6)


def test_on_another_raster_unseen_cells_are_left_out(map_of: MapOf) -> None:
    fine = map_of({"A": np.array([[1, np.nan], [3, np.nan]], np.float32)}, 8.0)
    np.testing.assert_allclose(fine.over(Raster.over((16, 16), 16.0), "A"), [[2]])
    assert np.isnan(fine.over(Raster(origin_xy=(99.0, 99.0), step_px=8.0, shape=(1, 1)), "A")).all()


def test_nothing_at_a_path_is_said(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="no map at"):
        open_map(tmp_path / "none.zarr")


def test_a_file_or_another_folder_is_no_map(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder"):
        with pytest.raises(MapError, match="is no expression map"):
            open_map(tmp_path / name)


def test_a_half_written_map_is_refused(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "m.zarr").create_array("expression", shape=(1, 2, 2), dtype="float32")
    with pytest.raises(MapError, match="holds no finished map"):
        open_map(tmp_path / "m.zarr")


@pytest.mark.parametrize("name", ["zarr.json", "expression/zarr.json", "thumbnail/zarr.json"])
@pytest.mark.parametrize("content", [None, "", "{}", '{"zarr_format": 3'])
def test_damaged_metadata_is_a_map_error(ramp: ExpressionMap, name: str, content: str | None) -> None:
    file = ramp.path / name
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(MapError):
        open_map(ramp.path)


def test_a_map_of_a_later_layout_is_refused(ramp: ExpressionMap) -> None:
    file = ramp.path / "zarr.json"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(MapError, match="its layout has version 2, this MISO reads version 1"):
        open_map(ramp.path)


def test_a_truncated_chunk_is_a_map_error(ramp: ExpressionMap) -> None:
    (chunk,) = (path for path in (ramp.path / "expression" / "c").rglob("*") if path.is_file())
    data = chunk.read_bytes()
    for kept in (len(data) // 2, 3):
        chunk.write_bytes(data[:kept])
        with pytest.raises(MapError, match="is damaged at gene 'CD3D'"):
            open_map(ramp.path)["CD3D"]


def test_intervals_about_discs_are_those_of_the_calibration(map_of: MapOf) -> None:
    made = map_of({"A": np.full((8, 8), 4, np.float32), "B": np.full((8, 8), 9, np.float32)})
    place = np.array([[64.0, 64.0]])
    assert np.isnan(made.interval(place, 30.0, "A")[0]).all()
    known = Calibration(
        genes=("A", "B"),
        base=np.array([0.0, 1.0]),
        slope=np.array([1.0, 0.0]),
        factors={0.9: np.array([2.0, 3.0])},
        spots=500,
        sections=4,
    )
    made = replace(made, header=replace(made.header, calibration=known.to_json()))
    assert [float(bound[0]) for bound in made.interval(place, 30.0, "A")] == pytest.approx([0, 8])  # 4 ± 2 √4
    assert [float(bound[0]) for bound in made.interval(place, 30.0, "B")] == pytest.approx([6, 12])
