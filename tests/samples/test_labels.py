"""Label sets keep folds apart, and a held-out section has no labels to leak."""

import numpy as np
import pytest

from miso.errors import SampleError
from miso.samples import open_sample
from miso.samples.labels import open_labels, write_labels

ABOUT = {"genes": ["g0", "g1"], "units": "counts per spot", "teachers": "fold", "run": "runs/c"}


def test_each_fold_reads_back_its_own_values(tmp_path):
    values = {0: np.full((3, 2), 0.5), 2: np.arange(6.0).reshape(3, 2)}
    write_labels(tmp_path / "labels" / "pseudo", values, ABOUT)
    labels = open_labels(tmp_path / "labels" / "pseudo")
    assert labels.folds == [0, 2]
    assert (labels.genes, labels.units, labels.teachers) == (["g0", "g1"], "counts per spot", "fold")
    assert labels.about["run"] == "runs/c"
    for fold, expected in values.items():
        assert labels.fold(fold).dtype == np.float32
        np.testing.assert_array_equal(labels.fold(fold), expected)


def test_labels_are_mapped_and_what_is_changed_in_them_stays_in_memory(tmp_path):
    labels = write_labels(tmp_path / "pseudo", {0: np.zeros((3, 2))}, ABOUT)
    found = labels.fold(0)
    assert isinstance(found, np.memmap)
    found += 1
    assert not labels.fold(0).any()


def test_the_labels_of_a_held_out_fold_are_refused_even_if_a_file_lies_there(tmp_path):
    labels = write_labels(tmp_path / "pseudo", {0: np.zeros((3, 2))}, ABOUT)
    np.save(tmp_path / "pseudo" / "fold_1.npy", np.zeros((3, 2)))
    with pytest.raises(SampleError, match="has no labels for fold 1: there this section is held out"):
        labels.fold(1)


def test_labels_written_again_replace_all_of_the_earlier_ones(tmp_path):
    write_labels(tmp_path / "pseudo", {0: np.zeros((3, 2)), 1: np.zeros((3, 2))}, ABOUT)
    write_labels(tmp_path / "pseudo", {2: np.ones((3, 2))}, ABOUT)
    assert open_labels(tmp_path / "pseudo").folds == [2]
    assert sorted(path.name for path in (tmp_path / "pseudo").iterdir()) == ["fold_2.npy", "labels.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["pseudo"]


def test_a_sample_opens_its_label_sets_by_name(processed, tmp_path):
    (tmp_path / "A1").mkdir()
    (tmp_path / "A1" / "sample.json").write_bytes((processed / "A1" / "sample.json").read_bytes())
    write_labels(tmp_path / "A1" / "labels" / "pseudo", {0: np.ones((3, 2))}, ABOUT)
    sample = open_sample(tmp_path / "A1")
    assert sample.labels("pseudo").folds == [0]
    with pytest.raises(SampleError, match=r"no label set 'other' \(there: pseudo\)"):
        sample.labels("other")
