"""Many slides by `super-resolve --slides`, and folds of `train`, on workers: the same as in one process."""

import csv
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

import miso as package

SMALL = ("--encoder", "stain", "--tile-size", 64, "--knn", 3, "--device", "cpu")
KEYS = ("knn=3", "max_epochs=1", "device=cpu", "baselines=false")


@pytest.fixture(scope="module")
def road(phantom, tmp_path_factory, in_process):
    """A phantom cohort, its teachers and its students."""
    at = tmp_path_factory.mktemp("road")
    shutil.copytree(phantom, at / "her2st")
    cohort = f"cohort.path={at / 'her2st/processed_data'}"
    genes = "cohort.genes=null"
    train = ("train", "--config-name", "train_her2st", cohort, genes, "splits=leave_one_sample_out", *KEYS)
    label = ("generate-distillation-labels", cohort, genes, f"run_dir={at / 'teachers'}")
    distil = ("train", "--config-name", "distil", cohort, genes, f"run_dir={at / 'students'}", *KEYS)
    assert in_process(("process-her2st", "--path-dataset", at / "her2st", *SMALL)) == 0
    assert in_process((*train, f"run_dir={at / 'teachers'}")) == 0
    assert in_process(label) == 0
    assert in_process(distil) == 0
    return at


def test_folds_on_workers_come_to_the_same_models(road, run_miso, tmp_path):
    cohort = f"cohort.path={road / 'her2st/processed_data'}"
    settings = ("cohort.genes=null", "splits=leave_one_sample_out", *KEYS, "workers=2")
    words = ("train", "--config-name", "train_her2st", cohort, *settings, f"run_dir={tmp_path / 'run'}")
    code, out, _ = run_miso(*words)
    assert code == 0
    assert "miso" in out
    folds = sorted((tmp_path / "run").glob("repeat_*"))
    assert len(folds) == 3
    for fold in folds:
        made = load_file(fold / "checkpoint" / "model.safetensors")
        alone = load_file(road / "teachers" / fold.name / "checkpoint" / "model.safetensors")
        assert made.keys() == alone.keys()
        assert all((made[key] == alone[key]).all() for key in made)
    summaries = [
        json.loads((run / "summary.json").read_text()) for run in (tmp_path / "run", road / "teachers")
    ]
    assert summaries[0] == summaries[1]
    code, _, err = run_miso(*words)
    assert code == 0
    assert err.count("already there") == 3


def test_slides_of_a_table_become_maps_and_what_fails_is_named(road, run_miso, tmp_path):
    images = road / "her2st" / "images" / "HE"
    with (tmp_path / "slides.csv").open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerows(
            [["slide", "name"], [images / "A1.jpg", ""], ["absent.jpg", "gone"], [images / "B1.jpg", "b"]]
        )
    words = (
        "super-resolve",
        road / "students",
        "--slides",
        tmp_path / "slides.csv",
        "--out",
        tmp_path / "maps",
    )
    code, out, err = run_miso(*words, "--workers", 2, "--device", "cpu")
    assert code == 3
    assert f"no image at {tmp_path / 'absent.jpg'}" in out + err
    report = json.loads((tmp_path / "maps" / "run_report.json").read_text())
    assert {unit["unit"]: unit["state"] for unit in report["units"]} == {
        "A1": "done",
        "gone": "failed",
        "b": "done",
    }
    assert (tmp_path / "maps" / "failed.csv").read_text().splitlines()[1:] == [
        f"{tmp_path / 'absent.jpg'},gone,,"
    ]
    assert (
        run_miso(
            "super-resolve", road / "students", "--slide", images / "B1.jpg", "--out", tmp_path / "b.zarr"
        )[0]
        == 0
    )
    one, other = package.open_map(tmp_path / "maps" / "b.zarr"), package.open_map(tmp_path / "b.zarr")
    assert np.array_equal(one[one.genes[0]], other[one.genes[0]], equal_nan=True)


def test_bands_on_workers_come_to_the_same_map(road, run_miso, tmp_path):
    image = road / "her2st" / "images" / "HE" / "A1.jpg"
    words = ("super-resolve", road / "students", "--slide", image, "--device", "cpu")
    assert run_miso(*words, "--out", tmp_path / "one.zarr")[0] == 0
    code, _, err = run_miso(*words, "--out", tmp_path / "two.zarr", "--bands", 2, "--workers", 2)
    assert code == 0
    assert "the map is whole" in err
    one, two = package.open_map(tmp_path / "one.zarr"), package.open_map(tmp_path / "two.zarr")
    assert one.genes == two.genes
    assert all(np.array_equal(one[gene], two[gene], equal_nan=True) for gene in one.genes)
    assert (tmp_path / "two.html").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name one slide by --slide, or a table of many by --slides"),
        (
            ("--slide", "a.jpg", "--slides", "b.csv"),
            "name one slide by --slide, or a table of many by --slides",
        ),
        (
            ("--slides", "b.csv", "--mpp", 0.5),
            "with --slides, µm per pixel and regions are columns of the table",
        ),
        (
            ("--slide", "a.jpg", "--bands", 2),
            "--bands 2 splits one slide over workers: pass --slide, and --workers",
        ),
        (("--slide", "a.jpg", "--workers", 0), "at least one worker is needed, not 0"),
        (
            ("--slide", "a.jpg", "--memory", "much"),
            "'much' is no amount of memory; write it as 4GB or 512MiB",
        ),
        (("--slides", "b.csv", "--launch", "slurm"), "launch is local or ray, not 'slurm'"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_one_line(run_miso, tmp_path, words, said):
    code, _, err = run_miso("super-resolve", tmp_path, "--out", tmp_path / "out", *words)
    assert code == 2
    assert err.startswith(f"miso: {said}")
