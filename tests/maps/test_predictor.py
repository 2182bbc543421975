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
from miso.maps.predictor import Predictor
from miso.models import Checkpoint, load_checkpoint
from miso.models.calibration import half_width
from miso.models.novelty import TilesOfSection, fit_novelty, summed_up
from miso.models.residuals import Residuals
from miso.models.standardize import FeatureReference
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


@pytest.mark.parametrize("run", ["students-default", "students-published"])
def test_some_genes_of_patches_are_those_among_all(run: str, runs: Path, c1: Sample) -> None:
    predictor, patches = miso.load(runs / run), np.asarray(c1.patch_features, dtype=np.float32)
    genes = predictor.genes[::-2]
    wanted = [predictor.genes.index(gene) for gene in genes]
    for some, all_ in zip(
        (predictor.predict_patches(patches, genes=genes), *predictor.moments(patches, genes=genes)),
        (predictor.predict_patches(patches), *predictor.moments(patches)),
        strict=True,
    ):
        np.testing.assert_allclose(some, all_[..., wanted], rtol=1e-5, atol=1e-6)
    with pytest.raises(CheckpointError, match="unknown gene 'KRT'"):
        predictor.predict_patches(patches, genes=["KRT"])


def test_a_teacher_asked_for_patches_says_to_distil_and_a_student_for_spots_says_patches(
    runs: Path, c1: Sample
) -> None:
    with pytest.raises(CheckpointError, match=r"distil a student first .*generate-distillation-labels"):
        miso.load(runs / "teachers").predict_patches(c1.patch_features)
    with pytest.raises(CheckpointError, match="use predict_patches"):
        miso.load(runs / "students-default").predict_features(c1.adata.obsm["tile_features"], c1.neighbors(3))


@pytest.mark.parametrize("run", ["students-default", "students-published"])
def test_moments_of_patches_are_those_of_the_folds(run: str, runs: Path, c1: Sample) -> None:
    patches = np.asarray(c1.patch_features, dtype=np.float32)
    whole, reference = miso.load(runs / run), FeatureReference.of_section(c1.patch_features)
    each = [
        miso.load(runs / run / f"repeat_0_fold_{fold}").predict_patches(patches, reference) for fold in (0, 1)
    ]
    mean, variance = whole.moments(patches, reference)
    np.testing.assert_array_equal(mean, whole.predict_patches(patches, reference))
    np.testing.assert_allclose(variance, np.var(each, axis=0, ddof=1), rtol=1e-3, atol=1e-6)
    alone = miso.load(runs / run / "repeat_0_fold_0").moments(patches, reference)
    np.testing.assert_array_equal(alone[0], each[0])
    assert not alone[1].any()


def knowing(run: Path, spots: int = 80) -> Predictor:
    """Models of the two folds that know what they missed on sections held out, and what tiles are like.

    The sections of the phantom have too few spots to tell; these are made up.
    """
    found, rng = miso.load(run), np.random.default_rng(0)

    def of(checkpoint: Checkpoint) -> Checkpoint:
        predicted = rng.uniform(0, 4, (spots, len(checkpoint.genes))).astype(np.float32)
        measured = rng.poisson(predicted).astype(np.float32)
        records = [Residuals.of_section(name, predicted, measured) for name in checkpoint.held_out]
        dim = checkpoint.in_dim
        seen = [
            TilesOfSection(
                tiles=rng.normal(0, 1, (60, 2 * dim)),
                reference=FeatureReference(mean=torch.full((dim,), 0.1 * part), std=torch.ones(dim)),
                part=part,
            )
            for part in range(3)
        ]
        novelty = fit_novelty(seen) if found.is_student else None
        return replace(checkpoint, residuals=Residuals.together([r for r in records if r]), novelty=novelty)

    return Predictor([of(checkpoint) for checkpoint in found.checkpoints], found.path)


def test_intervals_on_a_new_slide_are_from_all_sections_held_out(runs: Path, c1: Sample) -> None:
    predictor = knowing(runs / "teachers")
    found = predictor.predict(foreign(c1))
    calibration = predictor.calibration
    assert calibration is not None
    assert (calibration.sections, calibration.genes) == (2, tuple(c1.adata.var_names))  # C1 and A1
    expected = half_width(calibration, np.asarray(found.X), slice(None))
    np.testing.assert_array_equal(found.layers["half_width"], expected)
    assert expected.min() > 0
    assert found.uns["miso"]["interval"] == {"level": 0.9, "spots": 160, "sections": 2}


def test_nothing_of_a_patient_calibrates_intervals_on_its_own_slides(runs: Path, c1: Sample) -> None:
    predictor = knowing(runs / "students-default", spots=120)
    assert predictor.residuals is not None
    assert predictor.residuals.sections == ("C1", "A1")
    speaking = predictor.for_slide(slide_fingerprint(c1))
    assert speaking.residuals is not None
    assert speaking.residuals.sections == ("A1",)
    again = speaking.for_slide(slide_fingerprint(c1))
    assert again.residuals is not None
    assert again.residuals.sections == ("A1",)
    assert predictor.predict(c1).uns["miso"]["interval"] == {"level": 0.9, "spots": 120, "sections": 1}


def test_too_few_spots_held_out_are_said_and_leave_no_interval(
    runs: Path, c1: Sample, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        found = knowing(runs / "teachers").predict(c1)  # the 80 spots of A1 alone remain
    assert "half_width" not in found.layers
    assert "interval" not in found.uns["miso"]
    assert "too few spots were held out" in caplog.text


def test_grades_are_those_of_the_table_by_gene(runs: Path) -> None:
    predictor = miso.load(runs / "teachers")
    assert tuple(predictor.grades) == predictor.genes
    assert predictor.grades == predictor.reliability["grade"].to_dict()
    assert set(predictor.grades.values()) <= {"A", "B", "C", "D", "untested"}


def test_novelty_is_the_mean_of_folds_and_unknown_without_a_record(runs: Path, c1: Sample) -> None:
    patches, whole = np.asarray(c1.patch_features, dtype=np.float32), knowing(runs / "students-default")
    reference = FeatureReference.of_section(c1.patch_features)
    tiles = summed_up(patches, reference)
    each = [c.novelty.of_tiles(tiles) for c in whole.checkpoints if c.novelty]
    assert len(each) == 2
    found = whole.novelty(patches, reference)
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-6)
    assert found.shape == (len(patches),)
    assert whole.novelty_of_slide(reference) > 1
    old = miso.load(runs / "students-default")
    assert np.isnan(old.novelty(patches, reference)).all()
    assert np.isnan(old.novelty_of_slide(reference))
    assert old.calibration is None


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
