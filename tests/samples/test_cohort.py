"""Cohorts: Samples that can be learnt from together, and why others cannot."""

import json
import shutil

import numpy as np
import pytest

from miso.errors import CohortError, SampleError
from miso.samples import open_cohort, open_sample


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


def test_opening_a_cohort_reads_names_and_keeps_no_counts(processed):
    for target in ("raw", "log1p"):
        cohort = open_cohort(processed, target=target)
        assert not any("adata" in sample.__dict__ for sample in cohort.samples.values())
    sample = cohort.samples["B1"]
    assert sample.genes == list(sample.adata.var_names) == cohort.genes
    assert sample.n_spots == len(sample.adata)
    assert sample.own_tables == []


def test_a_sample_is_read_briefly_and_let_go_of_unless_it_was_read_before(processed):
    sample = open_cohort(processed).samples["A1"]
    with sample.briefly(whole=False) as adata:
        assert sample.adata is adata
        less = adata
    assert "adata" not in sample.__dict__
    with sample.briefly() as adata:
        pass
    kept = sample.adata
    assert kept is not adata
    for whole in (True, False):
        with sample.briefly(whole=whole) as adata:
            assert adata is kept
    assert sample.adata is kept
    assert (less.X != kept.X).nnz == 0
    assert list(less.obs_names) == list(kept.obs_names)
    assert list(less.var_names) == list(kept.var_names)
    np.testing.assert_array_equal(less.obs["total_counts"], kept.obs["total_counts"])
    assert set(less.obsm) == set(kept.obsm)
    for name, values in kept.obsm.items():
        np.testing.assert_array_equal(less.obsm[name], values)


def test_a_damaged_file_is_named_by_whatever_part_is_read(processed, tmp_path):
    shutil.copytree(processed / "A1", tmp_path / "A1")
    (tmp_path / "A1" / "adata.h5ad").write_bytes(b"no HDF5")
    sample = open_sample(tmp_path / "A1")
    for read in (
        lambda: sample.genes,
        lambda: sample.n_spots,
        lambda: sample.own_tables,
        lambda: sample.adata,
    ):
        with pytest.raises(SampleError, match=r"adata\.h5ad is damaged \(.*\); process the section again"):
            read()
