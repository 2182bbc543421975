"""`miso plot` on a small map: options, the words that it refuses, and its help."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]


def test_genes_maps_and_a_zoom_make_one_picture(run_miso: Run, map_at: Path, tmp_path: Path) -> None:
    words = ("--gene", "KRT8,CD3D", "--zoom", "200,100,50", "--limits=0,2", "--log")
    code, out, err = run_miso("plot", map_at, map_at, *words[:4], "--out", tmp_path / "p.png")
    assert (code, out) == (0, "")
    assert str(tmp_path / "p.png") in err
    with Image.open(tmp_path / "p.png") as image:
        assert image.width > 2 * 1300
        assert image.height > 2 * 1300
    code, _, err = run_miso("plot", map_at, *words, "--out", tmp_path / "q.png")
    assert (code, "the first has to be lower, and above 0 on a logarithmic scale" in err) == (2, True)


def test_a_region_file_is_zoomed_to(run_miso: Run, map_at: Path, tmp_path: Path) -> None:
    ring = [[100, 100], [300, 100], [300, 150], [100, 150], [100, 100]]
    drawn = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "r.geojson").write_text(json.dumps(drawn))
    words = ("--region", tmp_path / "r.geojson", "--out", tmp_path / "p.pdf")
    assert run_miso("plot", map_at, "--gene", "KRT8", *words)[0] == 0
    assert (tmp_path / "p.pdf").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--gene", "KRT9"), "unknown gene 'KRT9'; did you mean 'KRT8'?"),
        (("--gene", ","), "name at least one map and one gene"),
        (("--gene", "KRT8", "--zoom", "1,2"), "--zoom is X,Y,WIDTH_UM, such as 2400,3100,500, not '1,2'"),
        (("--gene", "KRT8", "--zoom", "a,b,c"), "--zoom is X,Y,WIDTH_UM"),
        (("--gene", "KRT8", "--zoom", "5000,100,50"), "lies off the slide of 480 × 320 px"),
        (("--gene", "KRT8", "--limits", "3"), "--limits is LOW,HIGH, such as 0,5, not '3'"),
        (("--gene", "KRT8", "--limits", "3,1"), "the first has to be lower"),
        (("--gene", "KRT8", "--std"), "keeps no spread"),
        (("--gene", "KRT8", "--zoom", "1,2,3", "--region", "r"), "pass one of them"),
        (("--gene", "KRT8", "--region", "nowhere.geojson"), "no GeoJSON file at nowhere.geojson"),
        (("--gene", "KRT8", "--predictions", "p.h5ad"), "name it by --spots"),
        (("--gene", "KRT8", "--spots", "nowhere"), "no Sample at nowhere"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(
    run_miso: Run, map_at: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    code, _, err = run_miso("plot", map_at, *words, "--out", tmp_path / "p.png")
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "p.png").exists()


def test_predictions_have_to_be_there_and_whole(
    run_miso: Run, map_at: Path, processed: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.h5ad").write_bytes(b"no hdf5")
    for name, said in (("none.h5ad", "no predictions at"), ("bad.h5ad", "is no .h5ad of predictions")):
        words = ("--spots", processed / "A1", "--predictions", tmp_path / name, "--out", tmp_path / "p.png")
        code, _, err = run_miso("plot", map_at, "--gene", "KRT8", *words)
        assert (code, said in err) == (2, True), err


def test_a_sample_of_another_slide_is_refused(
    run_miso: Run, map_at: Path, processed: Path, tmp_path: Path
) -> None:
    words = ("--spots", processed / "A1", "--out", tmp_path / "p.png")
    code, _, err = run_miso("plot", map_at, "--gene", "KRT8", *words)
    assert (code, "sample 'A1' lies on a slide of" in err) == (2, True), err


def test_the_help_teaches_by_example(run_miso: Run) -> None:
    code, out, _ = run_miso("plot", "--help")
    assert code == 0
    assert "miso plot maps/C5.zarr --gene KRT8 --out KRT8.png" in " ".join(out.split())
