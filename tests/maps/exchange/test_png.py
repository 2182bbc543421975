"""Pictures of genes, a pixel a cell, with what places them on the slide."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miso.maps.exchange import export_map


def test_a_pixel_is_a_cell_and_clear_where_unseen(marked, tmp_path: Path) -> None:
    export_map(marked.map, "png", tmp_path / "png", genes=["X", "HOT"])
    assert {p.name for p in (tmp_path / "png").iterdir()} == {
        "X.png", "X.pgw", "HOT.png", "HOT.pgw", "placing.json",
    }  # fmt: skip
    picture = np.asarray(Image.open(tmp_path / "png/HOT.png"))
    assert picture.shape == (30, 20, 4)
    np.testing.assert_array_equal(picture[..., 3] == 255, np.isfinite(marked.map["HOT"]))
    assert tuple(picture[7, 11, :3]) == (253, 231, 36)  # the bright end of viridis
    assert (picture[3:, :, :3].reshape(-1, 3) == (68, 1, 84)).all(axis=1).sum() == 27 * 20 - 1
    assert len(np.unique(np.asarray(Image.open(tmp_path / "png/X.png"))[5, :, :3], axis=0)) > 15


@pytest.mark.parametrize("cut", [False, True])
def test_both_sidecars_place_the_picture_on_the_slide(marked, tmp_path: Path, cut: bool) -> None:
    export_map(marked.map, "png", tmp_path / "png", regions=[marked.region] if cut else None)
    picture = np.asarray(Image.open(tmp_path / "png/HOT.png")).astype(int)
    shining = (picture[..., :3] == (253, 231, 36)).all(axis=2) & (picture[..., 3] == 255)
    ((row, column),) = np.argwhere(shining)
    a, d, b, e, c, f = map(float, (tmp_path / "png/HOT.pgw").read_text().split())
    place = (a * column + b * row + c, d * column + e * row + f)  # as world files are defined
    assert place == pytest.approx(marked.hot_xy, abs=1e-6)
    said = json.loads((tmp_path / "png/placing.json").read_text())
    corner, step = np.array(said["corner_xy"]), said["step_px"]
    np.testing.assert_allclose(corner + (np.array([column, row]) + 0.5) * step, marked.hot_xy)
    assert said["size_px"] == [picture.shape[1], picture.shape[0]]
    assert said["genes"]["HOT"]["file"] == "HOT.png"
    assert said["genes"]["HOT"]["low"] == 0 < said["genes"]["HOT"]["high"] <= 9
    assert said["units"] == "log1p CP10k"


def test_genes_whose_names_are_no_file_names_get_their_own_files(map_of, tmp_path: Path) -> None:
    genes = ("a/b", "a:b", "A_B", "HLA-DRA", "Fn1.2")
    export_map(map_of({gene: np.ones((2, 2), np.float32) for gene in genes}), "png", tmp_path / "p")
    said = json.loads((tmp_path / "p/placing.json").read_text())["genes"]
    files = [said[gene]["file"] for gene in genes]
    assert files == ["a_b.png", "a_b_2.png", "A_B_3.png", "HLA-DRA.png", "Fn1.2.png"]
    assert all((tmp_path / "p" / name).is_file() for name in files)
