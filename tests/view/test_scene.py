"""A scene takes what lies on one slide, knows its resolution, and refuses what lies on another."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from miso.errors import MapError, SampleError, SlideError
from miso.maps import ExpressionMap
from miso.maps.predicted import as_anndata
from miso.samples import open_sample
from miso.view.scene import Scene, open_scene
from miso.view.spots import open_spots

Make = Callable[..., ExpressionMap]


def test_the_description_says_where_cells_and_spots_lie(scene: Scene) -> None:
    said = scene.described(live=True)
    assert said["slide"] == {
        "name": "s.png",
        "width": 700,
        "height": 500,
        "mpp": 0.5,
        "mpp_source": "test",
        "tile": 512,
        "levels": 11,
    }
    (map_,) = said["maps"]
    assert (map_["origin_xy"], map_["step_px"], map_["shape"], map_["levels"]) == (
        [1.0, 1.0],
        2.0,
        [250, 350],
        2,
    )
    assert map_["grades"] == {"KRT8": "C", "=cmd()": "A"}
    (spots,) = said["samples"]
    assert (spots["kind"], spots["spots"], spots["spot_px"]) == ("predicted", 3, 110.0)
    assert [len(hexes) for hexes in said["colormaps"].values()] == [256 * 6] * 4
    assert said["colormaps"]["viridis"].startswith("440154")


def test_without_the_users_word_the_map_says_the_resolution(slide_path: Path, map_on: Make) -> None:
    assert open_scene(slide_path, [map_on().path]).slide.slide.mpp == 0.5
    assert open_scene(slide_path, [map_on().path], mpp=0.25).slide.slide.mpp == 0.25


def test_a_sample_says_it_too(processed: Path, phantom: Path) -> None:
    sample = open_spots(processed / "A1")
    image = next((phantom / "images" / "HE").rglob("A1.*"))
    assert open_scene(image, [], [processed / "A1"]).slide.slide.mpp == pytest.approx(0.5, rel=0.01)
    assert (sample.kind, sample.units) == ("measured", "counts per spot")


def test_nobody_knowing_the_resolution_is_said(slide_path: Path) -> None:
    with pytest.raises(SlideError, match=r"no resolution in 's\.png'; pass --mpp"):
        open_scene(slide_path)


def test_a_map_of_a_slide_of_another_size_is_refused(slide_path: Path, map_on: Make) -> None:
    with pytest.raises(MapError, match=r"was made on a slide of 1,?400 × 1,?000 px, 's\.png' has 700 × 500"):
        open_scene(slide_path, [map_on((1400, 1000)).path])


def test_a_sample_of_another_slide_is_refused(slide_path: Path, processed: Path) -> None:
    with pytest.raises(SampleError, match=r"'A1' lies on a slide of .*; pass the Sample of this slide"):
        open_scene(slide_path, [], [processed / "A1"], mpp=0.5)


def test_genes_select_and_the_first_is_shown(slide_path: Path, map_on: Make) -> None:
    scene = open_scene(slide_path, [map_on().path], genes=["=cmd()", "KRT8"])
    assert scene.described(live=True)["start"] == {"map": 0, "gene": "=cmd()"}
    assert scene.maps[0].map.genes == ("=cmd()", "KRT8")
    with pytest.raises(MapError, match="unknown gene 'KRT'"):
        open_scene(slide_path, [map_on().path], genes=["KRT"])


def test_counts_of_a_sample_are_those_of_its_spots(processed: Path) -> None:
    spots = open_spots(processed / "A1")
    adata = open_sample(processed / "A1").adata
    np.testing.assert_array_equal(spots.of_gene(3), adata.X[:, 3].toarray().ravel())
    np.testing.assert_array_equal(spots.xy, adata.obsm["spatial"])


def test_predictions_of_the_predict_command_open_too(processed: Path, tmp_path: Path) -> None:
    sample = open_sample(processed / "A1")
    values = np.arange(2 * sample.n_spots, dtype=np.float32).reshape(-1, 2)
    made = as_anndata(
        sample, values, pd.DataFrame(index=["A", "B"]), {"units": "counts per spot"}, picture=False
    )
    made.write_h5ad(tmp_path / "p.h5ad")
    spots = open_spots(tmp_path / "p.h5ad")
    assert spots.spot_um == pytest.approx(sample.spot_diameter_um)
    np.testing.assert_array_equal(spots.of_gene(1), values[:, 1])


def test_what_is_no_sample_and_no_prediction_is_said(tmp_path: Path, predictions: Path) -> None:
    with pytest.raises(SampleError, match="no predictions at"):
        open_spots(tmp_path / "none.h5ad")
    (tmp_path / "bad.h5ad").write_bytes(b"bad")
    with pytest.raises(SampleError, match=r"bad.h5ad is no .h5ad of predictions"):
        open_spots(tmp_path / "bad.h5ad")
