"""Cohorts: Samples that can be learnt from together, and why others cannot."""

import json
import shutil

import pytest

from miso.errors import CohortError
from miso.samples import open_cohort


@pytest.fixture
def changed(processed, tmp_path):
    """A copy of the cohort in which one Sample's manifest is another."""

    def change(name, **settings):
        shutil.copytree(processed, tmp_path / "cohort")
        file = tmp_path / "cohort" / name / "sample.json"
        manifest = json.loads(file.read_text())
        manifest["settings"] |= settings
        file.write_text(json.dumps(manifest))
        return tmp_path / "cohort"

    return change


def test_a_folder_of_samples_is_a_cohort_with_their_shared_genes(processed):
    cohort = open_cohort(processed)
    assert cohort.patients == {"A1": "A", "B1": "B", "C1": "C"}
    assert len(cohort.genes) == cohort.wanted == 10
    assert cohort.target.name == "raw"


def test_a_panel_and_a_target_are_taken(processed, tmp_path):
    gene = open_cohort(processed).genes[3]
    (tmp_path / "panel.txt").write_text(f"{gene}\nNOT_A_GENE\n")
    cohort = open_cohort(processed, genes=str(tmp_path / "panel.txt"), missing="drop", target="log1p")
    assert (cohort.genes, cohort.wanted, cohort.target.name) == ([gene], 2, "log1p")
    with pytest.raises(CohortError, match="1 of 2 panel genes"):
        open_cohort(processed, genes=str(tmp_path / "panel.txt"))


def test_only_the_samples_named_are_taken(processed):
    assert list(open_cohort(processed, only=["C1", "A1"]).samples) == ["C1", "A1"]
    with pytest.raises(CohortError, match=r"no sample 'D1' in .*; there are A1, B1, C1"):
        open_cohort(processed, only=["A1", "D1"])


def test_mixed_encoders_are_refused(changed):
    with pytest.raises(CohortError, match="come from different encoders: phikon@1, stain@1"):
        open_cohort(changed("B1", encoder="phikon@1"))


@pytest.mark.parametrize("tile", [{"size_px": 224, "mpp": 1.0}, {"size_px": 448, "mpp": 0.5}])
def test_mixed_tiles_are_refused(changed, tile):
    with pytest.raises(CohortError, match=r"tiles differ: 224 px at 0\.5 µm/px in 'A1', .* in 'B1'"):
        open_cohort(changed("B1", tile=tile))


def test_tiles_read_at_each_slides_own_resolution_are_alike(changed):
    assert len(open_cohort(changed("B1", tile={"size_px": 224, "mpp": 0.51})).samples) == 3


def test_two_samples_of_one_name_are_refused(processed, tmp_path):
    shutil.copytree(processed, tmp_path / "cohort")
    shutil.copytree(processed / "A1", tmp_path / "cohort" / "copy")
    with pytest.raises(CohortError, match="are both named 'A1'"):
        open_cohort(tmp_path / "cohort")


def test_unfinished_samples_are_passed_over(processed, tmp_path):
    shutil.copytree(processed, tmp_path / "cohort")
    shutil.copytree(processed / "A1", tmp_path / "cohort" / ".D1.partial")
    assert list(open_cohort(tmp_path / "cohort").samples) == ["A1", "B1", "C1"]


def test_an_absent_and_an_empty_folder_are_told_apart(tmp_path):
    with pytest.raises(CohortError, match=r"no folder at .*absent; cohort\.path is a folder of Samples"):
        open_cohort(tmp_path / "absent")
    with pytest.raises(CohortError, match=r"no Samples in .*: none of its folders has a sample\.json"):
        open_cohort(tmp_path)


def test_the_folder_of_one_sample_is_no_cohort(processed):
    with pytest.raises(CohortError, match="no Samples in"):
        open_cohort(processed / "A1")
