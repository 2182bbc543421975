"""An `.h5ad` of a map opens in anndata, and scanpy and squidpy plot its cells on their places."""

import json
from pathlib import Path

import anndata
import numpy as np
import pytest

from miso.maps.exchange import export_map, export_regions
from miso.maps.exchange import view as view_module


@pytest.fixture
def opened(marked, tmp_path: Path) -> anndata.AnnData:
    export_map(marked.map, "h5ad", tmp_path / "m.h5ad")
    return anndata.read_h5ad(tmp_path / "m.h5ad")


def test_a_row_is_a_cell_that_was_seen_at_its_centre(marked, opened: anndata.AnnData) -> None:
    assert opened.shape == (27 * 20, 3)
    assert opened.X.dtype == np.float32
    assert list(opened.var_names) == ["X", "Y", "HOT"]
    assert opened.obs_names[0] == "3_0"
    assert opened.obs_names.is_unique
    np.testing.assert_allclose(opened[:-1, ["X", "Y"]].X, opened.obsm["spatial"][:-1], rtol=1e-6)
    hot = opened[opened[:, "HOT"].X.ravel() == 9]
    np.testing.assert_allclose(hot.obsm["spatial"], [marked.hot_xy])
    assert (hot.obs["row"].item(), hot.obs["col"].item()) == (7, 11)
    assert np.isnan(opened[-1, "Y"].X.item())


def test_it_says_of_which_map_and_slide_it_is(opened: anndata.AnnData) -> None:
    about = opened.uns["miso"]
    assert about["units"] == "log1p CP10k"
    assert json.loads(about["provenance"])["encoder"] == "mean-colour@1"
    assert json.loads(about["slide"])["name"] == "s.svs"
    np.testing.assert_allclose(about["origin_xy"], [8.25, 8.25])


def test_blocks_are_written_one_after_the_other_to_the_same_end(
    marked, opened: anndata.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "BLOCK_VALUES", 1)
    export_map(marked.map, "h5ad", tmp_path / "n.h5ad")
    again = anndata.read_h5ad(tmp_path / "n.h5ad")
    np.testing.assert_array_equal(again.X, opened.X)
    assert again.obs.equals(opened.obs)
    backed = anndata.read_h5ad(tmp_path / "n.h5ad", backed="r")
    np.testing.assert_array_equal(backed[3:5].X, opened.X[3:5])
    backed.file.close()


def test_only_cells_inside_a_region_go_out(marked, tmp_path: Path) -> None:
    export_map(marked.map, "h5ad", tmp_path / "r.h5ad", genes=["HOT"], regions=[marked.region])
    inside = anndata.read_h5ad(tmp_path / "r.h5ad")
    assert inside.shape == (5 * 5, 1)
    assert (inside.obs["row"].min(), inside.obs["col"].max()) == (5, 13)


def test_the_picture_lies_under_the_cells_within_a_pixel(marked, opened: anndata.AnnData) -> None:
    (record,) = opened.uns["spatial"].values()
    red = np.argwhere(record["images"]["hires"][..., 1] == 0) + 0.5
    on_slide = red.mean(axis=0)[::-1] / record["scalefactors"]["tissue_hires_scalef"]
    assert np.abs(on_slide - marked.hot_xy).max() < 1
    assert record["scalefactors"]["spot_diameter_fullres"] == marked.step


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("package", ["scanpy", "squidpy"])
def test_plots_put_the_cells_over_the_picture_within_a_pixel(
    marked, opened: anndata.AnnData, package: str
) -> None:
    plotting = pytest.importorskip(package, reason=f"{package} is not installed")
    if package == "scanpy":
        axes = plotting.pl.spatial(opened, color="HOT", show=False)[0]
    else:
        axes = plotting.pl.spatial_scatter(opened, color="HOT", return_ax=True)
    (record,) = opened.uns["spatial"].values()
    (drawn,) = axes.collections
    values = np.ma.filled(np.ma.asarray(drawn.get_array()), -1)
    paths, offsets = drawn.get_paths(), np.atleast_2d(drawn.get_offsets())
    brightest = paths[int(np.argmax(values)) % len(paths)].get_extents()
    middle = (brightest.min + brightest.max) / 2 + offsets[int(np.argmax(values)) % len(offsets)]
    assert values.max() == 9
    assert np.abs(middle / record["scalefactors"]["tissue_hires_scalef"] - marked.hot_xy).max() < 1


def test_means_over_regions_are_a_row_each(marked, tmp_path: Path) -> None:
    export_regions(marked.map, "h5ad", tmp_path / "o.h5ad", [marked.region])
    table = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert table.shape == (1, 3)
    np.testing.assert_allclose(table[:, "HOT"].X.item(), 9 / (4.5 * 5.6), rtol=1e-5)
    np.testing.assert_allclose(table.obsm["spatial"], [[11.75 * 16.5, 7.4 * 16.5]])
