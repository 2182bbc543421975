"""The whole road on a tiny phantom, command by command, as a person would walk it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
from PIL import Image

import miso
from miso.phantom import open_truth

Run = Callable[..., tuple[int, str, str]]
GENES = ("ERBB2", "KRT8")


@pytest.fixture(scope="module")
def road(
    phantom: Path, tmp_path_factory: pytest.TempPathFactory, in_process: Callable[[tuple[object, ...]], int]
) -> Path:
    """Walk the road; every command has to end well."""
    at = tmp_path_factory.mktemp("road")
    data = shutil.copytree(phantom, at / "her2st")
    cohort = f"cohort.path={data / 'processed_data'}"
    quick = ("max_epochs=2", "device=cpu", "cohort.genes=null", f"splits={data / 'splits.json'}")
    teachers = ("--config-name", "train_her2st", cohort, f"run_dir={at / 'teachers'}", *quick)
    students = ("--config-name", "distil", cohort, f"run_dir={at / 'students'}", *quick[:2])
    out = ("--out", at / "C1.zarr", "--genes", ",".join(GENES), "--stride", 112, "--device", "cpu")
    for words in (
        ("process-her2st", "--path-dataset", data, "--encoder", "stain", "--device", "cpu"),
        ("train", *teachers),
        ("generate-distillation-labels", *teachers),
        ("train", *students),
        ("super-resolve", at / "students", "--slide", data / "images/HE/C1.jpg", *out),
        ("plot", at / "C1.zarr", "--gene", "ERBB2", "--out", at / "ERBB2.png"),
        (
            "predict",
            at / "students",
            data / "processed_data/C1",
            data / "processed_data/A1",
            "--in-sample",
            "--out",
            at / "p",
        ),
    ):
        assert in_process(words) == 0, words
    return at


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def super_resolve(road: Path, out: str, *words: object) -> tuple[object, ...]:
    slide = road / "her2st/images/HE/C1.jpg"
    return (
        "super-resolve",
        road / "students",
        "--slide",
        slide,
        "--out",
        road / out,
        "--device",
        "cpu",
        *words,
    )


def test_every_stage_leaves_its_files(road: Path) -> None:
    for name in ("A1", "B1", "C1"):
        assert miso.open_sample(road / "her2st/processed_data" / name).name == name
    for run in ("teachers", "students"):
        there = {path.name for path in (road / run).iterdir()}
        promised = {"config.yaml", "splits.json", "metrics.parquet", "summary.json", "run.log"}
        assert there == promised | {"predictions", "repeat_0_fold_0"}
        assert (road / run / "repeat_0_fold_0/checkpoint/model.safetensors").is_file()
        assert (road / run / "predictions/C1.h5ad").is_file()
    labels = miso.open_sample(road / "her2st/processed_data/A1").labels("pseudolabels")
    assert "Samples: her2st" in (road / "her2st/processed_data/report.html").read_text()
    page = (road / "C1.html").read_text()
    assert "Map: C1.zarr" in page
    assert page.count('alt="Map of ') == len(GENES)
    assert (labels.folds, labels.teachers) == ([0], "fold")
    assert miso.open_sample(road / "her2st/processed_data/C1").label_sets == []
    assert set(json.loads((road / "students/summary.json").read_text())) == {"patch"}


def test_the_map_covers_the_tissue_and_leaves_the_glass_empty(road: Path) -> None:
    made, truth = miso.open_map(road / "C1.zarr"), open_truth(road / "her2st/truth/C1.npz")
    row, column = np.indices(made.raster.shape)
    cells = truth.raster.cells_of(made.raster.centers_xy(row, column))
    tissue = truth.tissue[tuple(np.minimum(cells, truth.raster.shape[0] - 1).transpose(2, 0, 1))]
    assert made.genes == GENES
    assert made.units == "counts per spot"
    for gene in GENES:
        plane = made[gene]
        assert plane.dtype == np.float32
        assert plane.shape == tissue.shape
        assert np.isfinite(plane[tissue > 0.9]).mean() > 0.85  # fat is nearly as white as glass
        assert np.isnan(plane[tissue == 0]).mean() > 0.9
        assert (tissue == 0).sum() > 100
        assert np.nanmin(plane) >= 0


def test_cells_lie_where_the_map_says(road: Path) -> None:
    made, truth = miso.open_map(road / "C1.zarr"), open_truth(road / "her2st/truth/C1.npz")
    np.testing.assert_allclose(made.step_xy, truth.raster.step_px, rtol=0.01)
    np.testing.assert_allclose(made.origin_xy, np.asarray(made.step_xy) / 2)


def test_a_map_names_the_folds_that_made_it(road: Path) -> None:
    provenance = miso.open_map(road / "C1.zarr").header.provenance
    assert provenance["checkpoints"] == 1
    assert provenance["trained_on"] == ["A1", "B1"]
    assert provenance["encoder"] == "stain@1"


def test_the_picture_is_a_picture(road: Path) -> None:
    with Image.open(road / "ERBB2.png") as picture:
        assert min(picture.size) > 300
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50


def test_predictions_of_a_held_out_section_are_those_of_the_run(road: Path) -> None:
    found = anndata.read_h5ad(road / "p/C1.h5ad")
    kept = anndata.read_h5ad(road / "students/predictions/C1.h5ad")
    np.testing.assert_allclose(found.X, kept.X, rtol=1e-4, atol=1e-5)
    assert list(found.obs_names) == list(kept.obs_names)
    assert found.uns["miso"]["units"] == kept.uns["miso"]["units"] == "counts per spot"
    assert (road / "p/A1.h5ad").is_file()


def test_super_resolving_again_is_a_skip(road: Path, run_miso: Run) -> None:
    before, page = stamps(road / "C1.zarr"), (road / "C1.html").stat().st_mtime_ns
    code, _, err = run_miso(*super_resolve(road, "C1.zarr", "--genes", "ERBB2,KRT8", "--stride", 112))
    assert code == 0
    assert "held it out" in err
    assert stamps(road / "C1.zarr") == before
    assert (road / "C1.html").stat().st_mtime_ns == page


def test_another_map_under_the_same_name_is_refused(road: Path, run_miso: Run) -> None:
    before = stamps(road / "C1.zarr")
    code, _, err = run_miso(*super_resolve(road, "C1.zarr", "--genes", "KRT8", "--stride", 112))
    assert code == 2
    assert "genes" in err
    assert stamps(road / "C1.zarr") == before


def test_an_unknown_gene_is_refused_and_nothing_written(road: Path, run_miso: Run) -> None:
    code, _, err = run_miso(*super_resolve(road, "wrong.zarr", "--genes", "ERBB2,KRT88"))
    assert code == 2
    assert "unknown gene 'KRT88'; did you mean" in err
    assert "'KRT8'" in err
    assert not list(road.glob("*wrong*"))


def test_a_stride_that_does_not_fit_lists_those_that_do(road: Path, run_miso: Run) -> None:
    code, _, err = run_miso(*super_resolve(road, "wrong.zarr", "--stride", 100))
    assert code == 2
    assert "stride 100 px: choose a divisor of the tile's 224 px, such as 14, 16, 28, 32, 56, 112, 224" in err
    assert not list(road.glob("*wrong*"))


def test_a_region_is_mapped_in_cells_of_half_a_patch_and_says_what_it_knows(
    road: Path, run_miso: Run
) -> None:
    slide = miso.open_map(road / "C1.zarr").header.slide
    x, y = np.asarray(slide.size_px) // 2
    ring = [[x - 100, y - 100], [x + 100, y - 100], [x + 100, y + 60], [x - 100, y - 100]]
    (road / "drawn.geojson").write_text(
        json.dumps({"type": "Polygon", "coordinates": [np.asarray(ring).tolist()]})
    )
    words = ("--genes", "KRT8", "--region", road / "drawn.geojson", "--no-report")
    code, out, err = run_miso(*super_resolve(road, "region.zarr", *words))
    assert code == 0
    assert "cells of 4 µm" in out + err
    made = miso.open_map(road / "region.zarr")
    seen = np.isfinite(made["KRT8"])
    assert seen.sum() == pytest.approx(200 * 160 / 2 / 8**2, rel=0.1)
    rows, cols = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    step = made.step_xy[0]
    assert (cols[0] * step, (cols[-1] + 1) * step) == pytest.approx((x - 100, x + 100), abs=2 * step)
    assert (rows[0] * step, (rows[-1] + 1) * step) == pytest.approx((y - 100, y + 60), abs=2 * step)
    assert made.std("KRT8") is not None
    assert made.grades["KRT8"]
    assert not (road / "region.html").exists()


def test_a_region_that_lies_elsewhere_is_refused(road: Path, run_miso: Run) -> None:
    far = [[[90000, 90000], [90100, 90000], [90100, 90100], [90000, 90000]]]
    (road / "far.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": far}))
    code, _, err = run_miso(*super_resolve(road, "wrong.zarr", "--region", road / "far.geojson"))
    assert code == 2
    assert "off the slide" in err
    code, _, err = run_miso(
        *super_resolve(road, "wrong.zarr", "--region", road / "far.geojson", "--tissue", "all")
    )
    assert code == 2
    assert "leave --tissue out" in err
    assert not list(road.glob("*wrong*"))


def test_a_teacher_asked_for_a_map_says_to_distil_first(road: Path, run_miso: Run) -> None:
    slide = road / "her2st/images/HE/C1.jpg"
    code, _, err = run_miso(
        "super-resolve", road / "teachers", "--slide", slide, "--out", road / "wrong.zarr"
    )
    assert code == 2
    assert "distil a student first" in err
    assert not list(road.glob("*wrong*"))


def test_a_gene_that_the_map_lacks_is_refused(road: Path, run_miso: Run) -> None:
    code, _, err = run_miso("plot", road / "C1.zarr", "--gene", "ERB2", "--out", road / "wrong.png")
    assert code == 2
    assert "did you mean 'ERBB2'" in err
    assert not list(road.glob("*wrong*"))


def test_the_same_road_again_does_nothing(road: Path, run_miso: Run) -> None:
    before = stamps(road / "her2st/processed_data/A1")
    data = road / "her2st"
    code, _, err = run_miso("process-her2st", "--path-dataset", data, "--encoder", "stain", "--device", "cpu")
    assert code == 0
    assert err.count("already there") == 3
    assert stamps(data / "processed_data/A1") == before
