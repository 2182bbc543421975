"""Trained models put to use from Python: what speaks, of what, and who may not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch
from PIL import Image

import miso
from miso.encoders import Encoder
from miso.errors import CheckpointError
from miso.maps.as_trained import slide_in_cohort
from miso.models import load_checkpoint
from miso.samples import Sample, open_cohort
from miso.samples.sample import slide_fingerprint
from miso.training import CohortConfig, TrainConfig, train
from miso.training.distill import generate_labels

FOLDS = [
    {"train": ["A1"], "val": ["B1"], "test": ["C1"]},
    {"train": ["B1"], "val": ["C1"], "test": ["A1"]},
]


@pytest.fixture(scope="module")
def runs(processed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Teachers of two folds, and default and published students; look, but do not write."""
    at = tmp_path_factory.mktemp("runs")
    shutil.copytree(processed, at / "samples")
    (at / "splits.json").write_text(json.dumps({"unit": "sample", "folds": FOLDS}))
    teachers = TrainConfig(
        cohort=CohortConfig(path=str(at / "samples")),
        splits=str(at / "splits.json"),
        max_epochs=2,
        device="cpu",
        baselines=False,
        run_dir=str(at / "teachers"),
    )
    train(teachers)
    generate_labels(teachers, open_cohort(at / "samples"))
    for preset in ("default", "published"):
        run_dir = str(at / f"students-{preset}")
        train(replace(teachers, model="patch", splits=None, preset=preset, run_dir=run_dir))
    return at


@pytest.fixture
def c1(runs: Path) -> Sample:
    return miso.open_sample(runs / "samples" / "C1")


@pytest.mark.parametrize("run", ["teachers", "students-default", "students-published"])
def test_a_fold_predicts_the_section_it_held_out_as_its_run_did(run: str, runs: Path, c1: Sample) -> None:
    found = miso.load(runs / run / "repeat_0_fold_0").predict(c1)
    kept = anndata.read_h5ad(runs / run / "predictions" / "C1.h5ad")
    np.testing.assert_allclose(found.X, kept.X, rtol=1e-4, atol=1e-5)
    assert list(found.var_names) == list(kept.var_names)
    assert list(found.obs_names) == list(c1.adata.obs_names)
    np.testing.assert_array_equal(found.obsm["spatial"], c1.adata.obsm["spatial"])
    assert found.uns["miso"]["units"] == "counts per spot"


def foreign(sample: Sample) -> Sample:
    """The same spots on a slide that no run has met."""
    settings = {**sample.manifest["settings"], "inputs": {}}
    return Sample(sample.path, {**sample.manifest, "settings": settings})


@pytest.mark.parametrize("run", ["teachers", "students-default"])
def test_a_run_speaks_of_a_new_slide_as_the_mean_of_its_folds(run: str, runs: Path, c1: Sample) -> None:
    whole, new = miso.load(runs / run), foreign(c1)
    each = [miso.load(runs / run / f"repeat_0_fold_{fold}" / "checkpoint").predict(new).X for fold in (0, 1)]
    assert len(whole.checkpoints) == 2
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(whole.predict(new).X, (each[0] + each[1]) / 2, rtol=1e-4, atol=1e-5)


def test_a_predictor_names_its_genes_and_units(runs: Path, c1: Sample) -> None:
    predictor = miso.load(runs / "teachers")
    assert predictor.genes == tuple(c1.adata.var_names)
    assert predictor.units == "counts per spot"
    assert predictor.predict(c1).shape == (c1.adata.n_obs, len(predictor.genes))


def test_only_folds_that_held_a_slide_out_speak_of_it(runs: Path, c1: Sample) -> None:
    predictor = miso.load(runs / "students-default")
    speaking = predictor.for_slide(slide_fingerprint(c1)).checkpoints
    assert [checkpoint.held_out for checkpoint in speaking] == [["C1"]]
    assert len(predictor.for_slide("of another slide").checkpoints) == 2
    honest = miso.load(runs / "students-default" / "repeat_0_fold_0").predict(c1)
    np.testing.assert_array_equal(predictor.predict(c1).X, honest.X)
    assert not predictor.predict(c1).uns["miso"]["in_sample"]


def test_a_section_that_every_fold_has_seen_is_predicted_only_on_demand_and_marked(runs: Path) -> None:
    predictor, b1 = miso.load(runs / "students-default"), miso.open_sample(runs / "samples" / "B1")
    with pytest.raises(CheckpointError, match=r"has seen this section.*--in-sample"):
        predictor.predict(b1)
    assert predictor.predict(b1, in_sample=True).uns["miso"]["in_sample"]


def test_an_unfinished_run_does_not_speak(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "teachers", tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(CheckpointError, match="not finished"):
        miso.load(tmp_path / "run")


def test_a_slide_of_the_cohort_is_recognised_with_its_resolution(runs: Path, c1: Sample) -> None:
    found = slide_in_cohort(miso.load(runs / "teachers").first, slide_fingerprint(c1))
    assert found is not None
    assert found[0] == "C1"
    assert found[1]["mpp"] == c1.mpp
    assert slide_in_cohort(miso.load(runs / "teachers").first, "0" * 16) is None


def test_bare_features_go_through_the_bare_model(runs: Path, c1: Sample) -> None:
    predictor = miso.load(runs / "teachers" / "repeat_0_fold_0")
    features, lists = c1.adata.obsm["tile_features"], c1.neighbors(37)
    found = predictor.predict_features(features, lists)
    assert found.dtype == np.float32
    assert found.min() >= 0
    np.testing.assert_array_equal(found, predictor.predict(c1).X)
    model = load_checkpoint(runs / "teachers/repeat_0_fold_0/checkpoint").model
    with torch.no_grad():
        expected = model(torch.from_numpy(features), torch.from_numpy(lists)).clamp(min=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    again = predictor.predict_features(features.astype(np.float64), lists.astype(np.int32))
    np.testing.assert_array_equal(again, found)


def test_bare_patches_pooled_over_the_disc_are_the_spots(runs: Path, c1: Sample) -> None:
    predictor = miso.load(runs / "students-default" / "repeat_0_fold_0")
    patches = np.asarray(c1.patch_features)
    found = predictor.predict_patches(patches, predictor.reference(patches.astype(np.float32)))
    assert found.dtype == np.float32
    assert found.shape == (*patches.shape[:2], len(predictor.genes))
    assert found.min() >= 0
    disc = c1.grid.disc_weights(c1.spot_diameter_um)
    pooled = np.einsum("spg,p->sg", found, disc)
    np.testing.assert_allclose(predictor.predict(c1).X, pooled, rtol=1e-4, atol=1e-5)


def test_the_published_student_pools_the_whole_tile(runs: Path, c1: Sample) -> None:
    predictor = miso.load(runs / "students-published" / "repeat_0_fold_0")
    found = predictor.predict_patches(c1.patch_features)
    np.testing.assert_allclose(predictor.predict(c1).X, found.mean(1), rtol=1e-4, atol=1e-5)


def test_without_a_reference_the_features_given_are_the_slide(runs: Path, c1: Sample) -> None:
    predictor = miso.load(runs / "students-default" / "repeat_0_fold_0")
    patches = np.asarray(c1.patch_features, dtype=np.float32)
    found = predictor.predict_patches(patches)
    np.testing.assert_array_equal(found, predictor.predict_patches(patches, predictor.reference(patches)))
    assert not np.allclose(found, predictor.predict_patches(patches, predictor.reference(patches + 1)))


def test_a_teacher_asked_for_patches_says_to_distil_and_a_student_for_spots_says_patches(
    runs: Path, c1: Sample
) -> None:
    with pytest.raises(CheckpointError, match=r"distil a student first .*generate-distillation-labels"):
        miso.load(runs / "teachers").predict_patches(c1.patch_features)
    with pytest.raises(CheckpointError, match="use predict_patches"):
        miso.load(runs / "students-default").predict_features(c1.adata.obsm["tile_features"], c1.neighbors(3))


def test_a_sample_of_another_encoder_is_refused(runs: Path, c1: Sample) -> None:
    c1.manifest["settings"]["encoder"] = "phikon@2"
    for run in ("teachers", "students-default"):
        with pytest.raises(CheckpointError, match="encoded with phikon@2, this run with stain@1"):
            miso.load(runs / run).predict(c1)


@pytest.fixture
def slide(runs: Path, c1: Sample, tmp_path: Path) -> miso.Slide:
    """A corner of C1 of 512 × 448 px."""
    with Image.open(c1.manifest["slide"]["path"]) as image:
        image.crop((600, 600, 1112, 1048)).save(tmp_path / "corner.png")
    return miso.open_slide(tmp_path / "corner.png", 0.5)


def test_a_slide_without_spots_is_mapped(
    runs: Path, slide: miso.Slide, stain: Encoder, tmp_path: Path
) -> None:
    predictor = miso.load(runs / "students-default")
    made = predictor.super_resolve(
        slide, tmp_path / "m.zarr", stain, genes=["KRT8", "ERBB2"], stride_px=224, tissue="all"
    )
    assert made.genes == ("KRT8", "ERBB2")
    assert made.units == predictor.units
    assert made["ERBB2"].shape == (28, 32)
    assert np.isfinite(made["ERBB2"]).all()
    assert made.header.provenance["checkpoints"] == 2
    assert made.header.provenance["trained_on"] == ["A1", "B1", "C1"]


def test_the_encoder_is_found_by_the_name_that_the_run_keeps(
    runs: Path, slide: miso.Slide, stain: Encoder, tmp_path: Path
) -> None:
    options = {"genes": ["ERBB2"], "stride_px": 224, "tissue": "all"}
    predictor = miso.load(runs / "students-default")
    by_name = predictor.super_resolve(slide, tmp_path / "name.zarr", **options)
    given = predictor.super_resolve(slide, tmp_path / "given.zarr", stain, **options)
    np.testing.assert_array_equal(by_name["ERBB2"], given["ERBB2"])


def test_a_slide_is_not_mapped_with_another_encoder_or_by_a_teacher(
    runs: Path, slide: miso.Slide, stain: Encoder, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="trained on stain@1, but the encoder here is stain@2"):
        miso.load(runs / "students-default").super_resolve(
            slide, tmp_path / "m", replace(stain, revision="2")
        )
    with pytest.raises(CheckpointError, match="distil a student first"):
        miso.load(runs / "teachers").super_resolve(slide, tmp_path / "m", stain)
    assert not (tmp_path / "m").exists()


def test_what_is_no_run_is_named_and_several_runs_are_not_mixed(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no run or checkpoint at .*nowhere"):
        miso.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="no run or checkpoint"):
        miso.load(runs)
