"""Splits hold patients apart, match what is there, and say what is wrong with them."""

import json

import pytest

from miso.errors import SplitError
from miso.samples import read_splits

PATIENTS = {"A1": "A", "A2": "A", "B1": "B", "C1": "C", "C2": "C"}


@pytest.fixture
def write(tmp_path):
    def save(content):
        path = tmp_path / "splits.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return save


def fold(train, val, test):
    return {"train": train, "val": val, "test": test}


def test_patients_become_all_of_their_samples(write):
    splits = read_splits(write({"unit": "patient", "folds": [fold(["A"], ["B"], ["C"])]}), PATIENTS)
    (only,) = splits.folds
    assert (only.train, only.val, only.test) == (["A1", "A2"], ["B1"], ["C1", "C2"])
    assert splits.notes == ()


def test_samples_stay_samples_and_an_empty_test_is_for_use(write):
    splits = read_splits(write({"unit": "sample", "folds": [fold(["C1", "A1"], ["B1"], [])]}), PATIENTS)
    assert splits.folds[0].train == ["C1", "A1"]
    assert splits.folds[0].test == []


def test_splits_read_back_from_a_run_folder_are_the_same(write):
    splits = read_splits(write({"unit": "patient", "folds": [fold(["A"], ["B"], ["C"])]}), PATIENTS)
    again = read_splits(write(splits.as_json()), PATIENTS)
    assert again.folds == splits.folds


@pytest.mark.parametrize(("source", "units"), [("leave_one_sample_out", 5), ("leave_one_patient_out", 3)])
def test_leave_one_out_tests_each_unit_once_and_holds_patients_or_samples_apart(source, units):
    splits = read_splits(source, PATIENTS)
    assert len(splits.folds) == units
    assert sorted(name for one in splits.folds for name in one.test) == sorted(PATIENTS)
    assert sorted(name for one in splits.folds for name in one.val) == sorted(PATIENTS)
    for one in splits.folds:
        assert sorted([*one.train, *one.val, *one.test]) == sorted(PATIENTS)
        if units == 3:
            parts = [{PATIENTS[name] for name in part} for part in (one.train, one.val, one.test)]
            assert sum(map(len, parts)) == 3


def test_leave_one_out_of_two_is_refused():
    with pytest.raises(
        SplitError, match=r"needs at least three patients \(train, val, test\), but there are 2"
    ):
        read_splits("leave_one_patient_out", {"A1": "A", "A2": "A", "B1": "B"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "are no JSON"),
        ("{", "are no JSON"),
        ([], "expected an object with 'unit' and 'folds'"),
        ({"folds": [fold(["A"], [], ["B"])]}, "'unit' must be 'patient' or 'sample', not None"),
        ({"unit": "spot", "folds": [fold(["A"], [], ["B"])]}, "not 'spot'"),
        ({"unit": "patient"}, "'folds' must be a list"),
        ({"unit": "patient", "folds": []}, "'folds' must be a list"),
        (
            {"unit": "patient", "folds": [{"train": ["A"], "test": ["B"]}]},
            "fold 0: expected lists 'train', 'val' and 'test'",
        ),
        ({"unit": "patient", "folds": [fold("A", [], ["B"])]}, "fold 0: expected lists"),
        ({"unit": "patient", "folds": [fold([["A"]], [], ["B"])]}, "fold 0: expected lists .* of names"),
        (
            {"unit": "patient", "folds": [fold(["A", "B"], ["B"], ["C"])]},
            "fold 0: 'B' is in 'train' and in 'val'",
        ),
        (
            {"unit": "patient", "folds": [fold(["A"], ["B"], ["A"])]},
            "fold 0: 'A' is in 'train' and in 'test'",
        ),
        (
            {"unit": "patient", "folds": [fold(["A"], [], ["D"])]},
            "fold 0: 'D' matches nothing; there are A, B, C",
        ),
        (
            {"unit": "sample", "folds": [fold(["A"], [], ["C1"])]},
            "fold 0: 'A' matches nothing; there are A1, A2",
        ),
        ({"unit": "patient", "folds": [fold([], ["B"], ["C"])]}, "fold 0 has nothing to train on"),
        (
            {"unit": "patient", "folds": [fold(["A"], ["B"], ["C"]), fold([], [], ["A"])]},
            "fold 1 has nothing",
        ),
    ],
    ids=str,
)
def test_malformed_splits_are_refused_with_the_reason(write, content, said):
    with pytest.raises(SplitError, match=said):
        read_splits(write(content), PATIENTS)


def test_splits_that_are_not_there_are_refused_with_the_names_there_are():
    with pytest.raises(
        SplitError, match=r"no splits at 'leave_one_out'; .*'leave_one_sample_out', 'leave_one_patient_out'"
    ):
        read_splits("leave_one_out", PATIENTS)


def test_the_folds_of_the_benchmark_are_run_on_the_patients_that_are_here():
    patients = {f"{letter}{i}": letter for letter in "ABCDEFGH" for i in (1, 2)}
    whole = read_splits("her2st_folds", patients)
    assert len(whole.folds) == 4
    assert whole.notes == ()
    tested = [name for one in whole.folds for name in one.test]
    assert len(tested) == len(set(tested))
    without_h = {name: patient for name, patient in patients.items() if patient != "H"}
    fewer = read_splits("her2st_folds", without_h)
    assert fewer.notes
    assert all("H" in note or "left out" in note for note in fewer.notes)
    for one in fewer.folds:
        assert one.train
        assert one.test


def test_the_benchmark_on_one_patient_is_refused_with_another_way():
    with pytest.raises(SplitError, match="pass splits=leave_one_sample_out"):
        read_splits("her2st_folds", {"C2": "C", "C3": "C"})
