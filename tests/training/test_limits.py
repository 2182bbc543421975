"""What a model misses is recorded where it has not learnt, the same after a kill, and its tiles are known."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import anndata
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from miso.encoders import Encoder
from miso.models import Checkpoint, load_checkpoint
from miso.models.novelty import summed_up
from miso.models.residuals import Residuals
from miso.models.standardize import FeatureReference
from miso.samples import open_cohort
from miso.samples.targets import target_values
from miso.slides import Slide, open_slide
from miso.training import TrainConfig, train
from miso.training.distill import generate_labels
from miso.training.limits import tiles_seen
from miso.training.run import open_training_cohort
from miso.training.student import PatchSection

T = TypeVar("T")
Configure = Callable[..., TrainConfig]
FOR_USE = [{"train": ["A1", "B1", "C1"], "val": ["D1"], "test": []}]


def folder(config: TrainConfig) -> Path:
    return Path(config.run_dir or "") / "repeat_0_fold_0"


def checkpoint(config: TrainConfig) -> Checkpoint:
    return load_checkpoint(folder(config) / "checkpoint")


def trust(config: TrainConfig) -> bytes:
    return (folder(config) / "checkpoint" / "trust.safetensors").read_bytes()


def assert_same(one: Residuals | None, other: Residuals | None) -> None:
    assert one is not None
    assert other is not None
    assert one.sections == other.sections
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.missed, other.missed)


def test_a_teacher_is_recorded_on_its_test_section_alone(configure: Configure, samples: Path) -> None:
    train(config := configure())
    cohort = open_cohort(samples)
    predicted = anndata.read_h5ad(Path(config.run_dir or "") / "predictions" / "D1.h5ad").X
    measured = target_values(cohort.samples["D1"], cohort.target, cohort.genes)
    assert_same(checkpoint(config).residuals, Residuals.of_section("D1", np.asarray(predicted), measured))


def test_a_published_teacher_is_recorded_on_validation_too(configure: Configure) -> None:
    train(config := configure(preset="published", max_epochs=1))
    found = checkpoint(config).residuals
    assert found is not None
    assert found.sections == ("D1", "C1")


def test_a_teacher_for_use_is_recorded_as_one_that_has_not_seen_validation(
    configure: Configure, tmp_path: Path
) -> None:
    for_use = configure(folds=FOR_USE, run_dir=str(tmp_path / "use"))
    train(for_use)
    held_out = configure(
        folds=[{"train": ["A1", "B1", "C1"], "val": [], "test": ["D1"]}], run_dir=str(tmp_path / "out")
    )
    train(held_out)
    assert_same(checkpoint(for_use).residuals, checkpoint(held_out).residuals)


def test_a_teacher_without_any_section_left_has_no_record_and_the_log_says_so(
    configure: Configure, tmp_path: Path
) -> None:
    train(config := configure(folds=[{"train": ["A1", "B1"], "val": [], "test": []}]))
    assert checkpoint(config).residuals is None
    assert "no intervals" in (tmp_path / "run" / "run.log").read_text()


def test_a_student_is_recorded_where_it_has_not_learnt_and_knows_its_tiles(
    configure: Configure, samples: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(samples, tmp_path / "copied")
    teachers = configure(copied, run_dir=str(tmp_path / "teachers"))
    train(teachers)
    generate_labels(teachers, open_training_cohort(teachers))
    config = configure(copied, model="patch", splits=None, run_dir=str(tmp_path / "students"))
    train(config)
    found = checkpoint(config)
    assert found.residuals is not None
    assert found.residuals.sections == ("D1", "C1")
    assert found.novelty is not None
    first = trust(config)
    for name, most in (("A1", 0.1), ("D1", 0.3)):  # learnt from, and of another patient
        patches = open_cohort(copied).samples[name].patch_features
        tiles = summed_up(np.asarray(patches, dtype=np.float32), FeatureReference.of_section(patches))
        distance = found.novelty.of_tiles(tiles)
        assert (distance > 1).mean() <= most
    shutil.rmtree(folder(config))
    train(config)
    assert trust(config) == first


def test_a_run_killed_in_the_fit_without_validation_goes_on_to_the_same_record(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miso.training.run.EVERY_S", 0.0)
    whole = configure(folds=FOR_USE, max_epochs=3, run_dir=str(tmp_path / "whole"))
    cut = configure(folds=FOR_USE, max_epochs=3, run_dir=str(tmp_path / "cut"))
    train(whole)

    def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if (description, number) == ("proving 2 of 3", 1):  # of three sections: without validation
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        train(cut, track=track)
    assert not (folder(cut) / "checkpoint").exists()
    assert (folder(cut) / "snapshots" / "without").is_dir()
    train(cut)
    assert trust(cut) == trust(whole)
    assert not (folder(cut) / "snapshots").exists()


# ---- tiles that no training section has


Pixels = NDArray[np.uint8]


def blurred(tiles: Pixels) -> Pixels:
    return np.stack([gaussian_filter(tile, (6, 6, 0)) for tile in tiles])


def inked(tiles: Pixels) -> Pixels:
    half = tiles.copy()
    half[:, :, :32] = half[:, :, :32] * np.array([0.1, 0.3, 0.7])
    return half


def glass(tiles: Pixels) -> Pixels:
    return np.random.default_rng(0).integers(238, 244, tiles.shape, dtype=np.uint8)


def tiles_of(slide: Slide, mpp: float) -> Pixels:
    """Read 16 tiles from the middle of a slide."""
    width, height = slide.size_px
    at = np.random.default_rng(0).uniform(0.3, 0.6, (16, 2)) * (width, height)
    return np.stack([slide.read((x, y), (64, 64), mpp) for x, y in at.tolist()])


def share_flagged(tiles: Pixels, stain: Encoder, samples: Path) -> float:
    """Share of tiles flagged on D1, by what tiles of the other three sections are like."""
    cohort = open_cohort(samples)
    sections = [
        PatchSection(
            name=name,
            patches=sample.patch_features,
            labels=torch.empty(0),
            measured=np.empty((0, 0), np.float32),
            reference=FeatureReference.of_section(sample.patch_features),
        )
        for name, sample in cohort.samples.items()
    ]
    *train_on, held_out = sections
    novelty = tiles_seen(train_on, ["A", "B", "C"])
    assert novelty is not None
    features = stain.encode(torch.from_numpy(tiles)).patches.numpy()
    return float((novelty.of_tiles(summed_up(features, held_out.reference)) > 1).mean())


@pytest.mark.parametrize(
    ("spoil", "least", "most"), [(np.copy, 0, 0.1), (blurred, 0.9, 1), (inked, 1, 1), (glass, 1, 1)]
)
def test_spoilt_tiles_are_flagged_and_others_not(
    spoil: Callable[[Pixels], Pixels], least: float, most: float, stain: Encoder, samples: Path
) -> None:
    slide_path = open_cohort(samples).samples["D1"].manifest["slide"]["path"]
    with open_slide(Path(slide_path), 0.5) as slide:
        tiles = tiles_of(slide, 0.5)
    assert least <= share_flagged(spoil(tiles), stain, samples) <= most


@pytest.mark.data
def test_tiles_of_a_real_slide_are_flagged_on_a_drawn_one(
    real_data: Path, stain: Encoder, samples: Path
) -> None:
    with open_slide(real_data / "wsi" / "CMU-1-Small-Region.svs") as slide:
        assert share_flagged(tiles_of(slide, 0.5), stain, samples) > 0.9
