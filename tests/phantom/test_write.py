"""The folder: HER2ST's layout, written once, atomically, and never over something else."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from miso.errors import SampleError
from miso.phantom import PhantomSpec, make_section, open_truth, write_her2st
from miso.phantom.write import splits

SPEC = PhantomSpec(seed=1, n_patients=3, n_sections=1, size_um=400, n_visible=12, n_null=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_her2st(SPEC, tmp_path_factory.mktemp("cohort") / "phantom")


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_counts_and_spots_fit_together_and_are_read_by_pandas(folder):
    counts = pd.read_csv(folder / "count-matrices/A1.tsv.gz", sep="\t", index_col=0)
    spots = pd.read_csv(folder / "spot-selections/A1_selection.tsv.gz", sep="\t")
    assert list(spots) == ["x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected"]
    names = [f"{x}x{y}" for x, y in zip(spots.x, spots.y, strict=True)]
    assert set(counts.index) < set(names)
    assert counts.shape[1] == 16
    assert (counts.dtypes == np.int64).all()


def test_the_image_and_the_truth_cover_the_same_ground(folder):
    truth = open_truth(folder / "truth/B1.npz")
    with Image.open(folder / "images/HE/B1.jpg") as image:
        assert image.size == (800, 800)
        assert image.mode == "RGB"
    assert truth.raster.shape == truth.tissue.shape == (50, 50)
    assert truth.raster.step_px == 16
    assert truth.rates.shape == (16, 50, 50)


def test_a_truth_reads_back_as_it_was_written(folder):
    made, read = make_section(SPEC, 1, 0).truth, open_truth(folder / "truth/B1.npz")
    assert read.section == "B1"
    assert read.genes == made.genes
    np.testing.assert_array_equal(read.visible, made.visible)
    np.testing.assert_array_equal(read.rates, made.rates)
    np.testing.assert_allclose(read["ERBB2"], read.rates[read.genes.index("ERBB2")], rtol=1e-5)
    assert read.raster == made.raster
    assert read.depth == made.depth


def test_splits_test_on_the_last_patient_and_validate_on_the_one_before(folder):
    assert json.loads((folder / "splits.json").read_text()) == {
        "unit": "patient",
        "folds": [{"train": ["A"], "val": ["B"], "test": ["C"]}],
    }


def test_every_fold_tests_on_another_patient():
    folds = splits(PhantomSpec(n_patients=4, n_folds=4))["folds"]
    assert [fold["test"] for fold in folds] == [["D"], ["C"], ["B"], ["A"]]
    assert all(sorted(fold["train"] + fold["val"] + fold["test"]) == list("ABCD") for fold in folds)


def test_two_patients_leave_none_to_validate_on_and_one_is_all_for_training():
    assert splits(PhantomSpec(n_patients=2))["folds"] == [{"train": ["A"], "val": [], "test": ["B"]}]
    assert splits(PhantomSpec(n_patients=1))["folds"] == [{"train": ["A"], "val": [], "test": []}]


def test_writing_the_same_cohort_again_does_nothing(folder):
    before = stamps(folder)
    assert write_her2st(SPEC, folder) == folder
    assert stamps(folder) == before


def test_another_cohort_is_refused_and_the_difference_named(folder):
    with pytest.raises(SampleError, match="seed is 1, asked for 2"):
        write_her2st(replace(SPEC, seed=2), folder)


def test_a_folder_with_other_data_is_refused(tmp_path):
    (tmp_path / "count-matrices").mkdir()
    with pytest.raises(SampleError, match="no phantom cohort"):
        write_her2st(SPEC, tmp_path)


def test_an_interrupted_writing_goes_on_where_it_stopped(tmp_path, folder):
    told = []

    def interrupt(name, index, total):
        told.append((name, index, total))
        if index == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_her2st(SPEC, tmp_path, interrupt)
    assert told == [("A1", 0, 3), ("B1", 1, 3)]
    assert not (tmp_path / "phantom.json").exists()
    first = tmp_path / "images/HE/A1.jpg"
    written = first.stat().st_mtime_ns
    write_her2st(SPEC, tmp_path)
    assert first.stat().st_mtime_ns == written
    for path in (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".npz"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes()
    assert not list(tmp_path.rglob("*.part"))


def test_a_missing_or_foreign_truth_says_so(tmp_path, folder):
    with pytest.raises(SampleError, match="no phantom truth"):
        open_truth(tmp_path / "A1.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(SampleError, match="no phantom truth of schema"):
        open_truth(tmp_path / "other.npz")
    whole = (folder / "truth/A1.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SampleError, match="no phantom truth of schema"):
        open_truth(tmp_path / "cut.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(SampleError, match="no phantom truth of schema"):
        open_truth(tmp_path / "text.npz")
