"""Distillation without leaks: the student of a fold hears only that fold's teacher."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import yaml

from miso.errors import CheckpointError, CohortError, ConfigError, SampleError, SplitError
from miso.models import load_checkpoint
from miso.samples import open_cohort, open_sample
from miso.training import CohortConfig, TrainConfig, train
from miso.training.distill import generate_labels
from miso.training.folds import put_down

Configure = Callable[..., TrainConfig]
FOLDS = [
    {"train": ["A1", "B1"], "val": ["C1"], "test": ["D1"]},
    {"train": ["D1", "B1"], "val": ["C1"], "test": ["A1"]},
]


@pytest.fixture
def copied(samples: Path, tmp_path: Path) -> Path:
    """Samples of one's own, to be labelled."""
    return shutil.copytree(samples, tmp_path / "copied")


def label(config: TrainConfig, **keys: object) -> None:
    generate_labels(replace(config, **keys), open_cohort(config.cohort.path or ""))  # type: ignore[arg-type]


def student(teachers: TrainConfig, run_dir: str, **keys: object) -> TrainConfig:
    """What `distil` is given: a cohort and nothing of folds, genes or target."""
    cohort = CohortConfig(path=teachers.cohort.path)
    quick = {
        "model": "patch",
        "max_epochs": 2,
        "device": "cpu",
        "run_dir": str(Path(teachers.run_dir or "") / run_dir),
    }
    return TrainConfig(cohort=cohort, **(quick | keys))  # type: ignore[arg-type]


def weights(config: TrainConfig, fold: int = 0) -> bytes:
    return (
        Path(config.run_dir or "") / f"repeat_0_fold_{fold}" / "checkpoint" / "model.safetensors"
    ).read_bytes()


@pytest.fixture(scope="module")
def taught(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Teachers of two folds and Samples with their labels; look, but do not write."""
    folder = tmp_path_factory.mktemp("taught")
    shutil.copytree(samples, folder / "copied")
    (folder / "splits.json").write_text(json.dumps({"unit": "sample", "folds": FOLDS}))
    config = teachers_in(folder)
    train(config)
    label(config)
    return folder


def teachers_in(folder: Path) -> TrainConfig:
    return TrainConfig(
        cohort=CohortConfig(path=str(folder / "copied")),
        splits=str(folder / "splits.json"),
        target="log1p",
        max_epochs=2,
        device="cpu",
        baselines=False,
        run_dir=str(folder / "teachers"),
    )


@pytest.fixture
def teachers(taught: Path, copied: Path) -> TrainConfig:
    """The same, of one's own."""
    shutil.copytree(taught, copied.parent, dirs_exist_ok=True)
    return teachers_in(copied.parent)


def beside(config: TrainConfig, name: str) -> str:
    return str(Path(config.run_dir or "").parent / name)


def test_a_section_has_labels_only_of_folds_that_do_not_hold_it_out(
    teachers: TrainConfig, copied: Path
) -> None:
    folds = {
        name: open_sample(copied / name).labels("pseudolabels").folds for name in ("A1", "B1", "C1", "D1")
    }
    assert folds == {"A1": [0], "B1": [0, 1], "C1": [0, 1], "D1": [1]}
    with pytest.raises(SampleError, match="fold 0: there this section is held out"):
        open_sample(copied / "D1").labels("pseudolabels").fold(0)
    files = sorted(path.name for path in (copied / "D1" / "labels" / "pseudolabels").iterdir())
    assert files == ["fold_1.npy", "labels.json"]


def test_labels_are_what_the_folds_own_teacher_says(teachers: TrainConfig, copied: Path) -> None:
    import miso

    sample = open_sample(copied / "B1")
    for fold in (0, 1):
        expected = miso.load(f"{teachers.run_dir}/repeat_0_fold_{fold}").predict(sample, in_sample=True).X
        np.testing.assert_allclose(sample.labels("pseudolabels").fold(fold), expected, atol=1e-5)
    labels = sample.labels("pseudolabels")
    assert not np.allclose(labels.fold(0), labels.fold(1))
    assert (labels.units, labels.teachers) == ("ln(1 + counts)", "fold")


def test_repeats_of_a_fold_are_averaged(configure: Configure, copied: Path, tmp_path: Path) -> None:
    import miso

    config = configure(copied, n_repeats=2)
    train(config)
    label(config)
    sample = open_sample(copied / "A1")
    members = [miso.load(tmp_path / "run" / f"repeat_{i}_fold_0") for i in (0, 1)]
    each = [member.predict(sample, in_sample=True).X for member in members]
    np.testing.assert_allclose(sample.labels("pseudolabels").fold(0), np.mean(each, axis=0), atol=1e-5)


def test_the_published_ensemble_speaks_for_all_folds_and_is_marked(
    teachers: TrainConfig, copied: Path
) -> None:
    apart = {fold: open_sample(copied / "B1").labels("pseudolabels").fold(fold) for fold in (0, 1)}
    label(teachers, teachers="all", labels="ensemble")
    labels = open_sample(copied / "B1").labels("ensemble")
    assert labels.teachers == "all"
    for fold in (0, 1):
        np.testing.assert_allclose(labels.fold(fold), (apart[0] + apart[1]) / 2, atol=1e-5)
    assert open_sample(copied / "D1").labels("ensemble").folds == [1]
    config = student(teachers, beside(teachers, "students"), labels="ensemble")
    told: list[str] = []
    train(config, told.append)
    folder = Path(config.run_dir or "")
    assert "all teachers" in told[0]
    assert "all teachers" in json.loads((folder / "splits.json").read_text())["notes"][0]
    assert yaml.safe_load((folder / "config.yaml").read_text())["settings"]["teachers"] == "all"


def test_a_student_takes_folds_genes_and_target_of_its_teachers(teachers: TrainConfig) -> None:
    config = student(teachers, beside(teachers, "students"))
    summary = train(config)
    assert set(summary) == {"patch"}
    assert set(summary["patch"]["pearson_by_sample"]) == {"D1", "A1"}
    folder = Path(config.run_dir or "")
    assert json.loads((folder / "splits.json").read_text())["folds"] == FOLDS
    found = load_checkpoint(folder / "repeat_0_fold_0" / "checkpoint")
    assert (found.kind, found.target, found.held_out) == ("patch", "log1p", ["D1"])
    assert found.genes == load_checkpoint(Path(f"{teachers.run_dir}/repeat_0_fold_0/checkpoint")).genes
    assert anndata.read_h5ad(folder / "predictions" / "D1.h5ad").uns["miso"]["units"] == "ln(1 + counts)"


def spoil(copied: Path, fold: int) -> None:
    for file in copied.glob(f"*/labels/pseudolabels/fold_{fold}.npy"):
        np.save(file, 2 * np.load(file)[::-1, ::-1])


def test_a_student_hears_its_own_folds_labels_and_no_others(teachers: TrainConfig, copied: Path) -> None:
    first = student(teachers, beside(teachers, "first"))
    train(first)
    spoil(copied, fold=1)
    second = student(teachers, beside(teachers, "second"))
    train(second)
    assert weights(first, 0) == weights(second, 0)
    assert weights(first, 1) != weights(second, 1)


def test_counts_of_a_test_section_reach_no_student(
    configure: Configure, write_cohort: Callable[..., Path], copied: Path, tmp_path: Path
) -> None:
    made = {}
    recounted = shutil.copytree(write_cohort("D1"), tmp_path / "recounted")
    for name, folder in {"one": copied, "two": recounted}.items():
        config = configure(folder, run_dir=str(tmp_path / f"teachers-{name}"))
        train(config)
        label(config)
        made[name] = student(config, str(tmp_path / f"students-{name}"))
        train(made[name])
    assert weights(made["one"]) == weights(made["two"])
    first, second = (load_checkpoint(Path(f"{c.run_dir}/repeat_0_fold_0/checkpoint")) for c in made.values())
    assert first.notes == second.notes


def test_counts_of_a_training_section_reach_the_default_student_and_no_published_one(
    teachers: TrainConfig, copied: Path
) -> None:
    made = {}
    for counts in ("first", "second"):
        for preset in ("default", "published"):
            made[counts, preset] = student(teachers, beside(teachers, f"{counts}-{preset}"), preset=preset)
            train(made[counts, preset])
        file = copied / "B1" / "adata.h5ad"  # on which both folds train
        adata = anndata.read_h5ad(file)
        adata.X = adata.X[::-1]
        adata.write_h5ad(file)
    for fold in (0, 1):
        assert weights(made["first", "default"], fold) != weights(made["second", "default"], fold)
        assert weights(made["first", "published"], fold) == weights(made["second", "published"], fold)


def test_measured_values_are_mapped_from_a_file_that_nobody_has_to_remove(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    mapped = put_down(values, tmp_path)
    assert isinstance(mapped, np.memmap)
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(mapped, values)


def test_a_run_of_students_is_not_resumed_on_other_labels(teachers: TrainConfig, copied: Path) -> None:
    config = student(teachers, beside(teachers, "students"))
    train(config)
    told: list[str] = []
    train(config, told.append)
    assert all("already there" in line for line in told)
    spoil(copied, fold=0)
    with pytest.raises(Exception, match=r"labels\.A1\.fold_0"):
        train(config)


def test_the_first_section_may_be_one_that_every_fold_holds_out(configure: Configure, copied: Path) -> None:
    config = configure(copied, folds=[{"train": ["B1", "C1"], "val": ["D1"], "test": ["A1"]}])
    train(config)
    label(config)
    assert open_sample(copied / "A1").label_sets == []
    assert set(train(student(config, beside(config, "students")))["patch"]["pearson_by_sample"]) == {"A1"}


def test_labels_of_two_runs_are_not_mixed(teachers: TrainConfig, configure: Configure, copied: Path) -> None:
    other = configure(
        copied,
        folds=[{"train": ["D1", "C1"], "val": ["B1"], "test": ["A1"]}],
        target="log1p",
        run_dir=beside(teachers, "other"),
    )
    train(other)
    with pytest.raises(SampleError, match=r"labels 'pseudolabels' of another making.*labels=NAME"):
        generate_labels(other, open_cohort(copied, only=["D1"]))
    shutil.rmtree(copied / "D1" / "labels")
    generate_labels(other, open_cohort(copied, only=["D1"]))
    with pytest.raises(CohortError, match="'A1' and 'D1' come from different runs"):
        train(student(teachers, beside(teachers, "students")))


@pytest.mark.parametrize("own", [{"splits": "leave_one_sample_out"}, {"target": "log1p_cp10k"}])
def test_a_student_with_folds_or_a_target_of_its_own_is_refused(
    teachers: TrainConfig, copied: Path, own: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match=f"a student takes {next(iter(own))} from its teachers"):
        train(student(teachers, beside(teachers, "own"), **own))
    assert not Path(beside(teachers, "own")).exists()


def test_labels_of_other_genes_are_refused(teachers: TrainConfig, copied: Path) -> None:
    file = copied / "B1" / "labels" / "pseudolabels" / "labels.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps(about | {"genes": about["genes"][::-1]}))
    with pytest.raises(CohortError, match="of 'B1' are of other genes"):
        train(student(teachers, beside(teachers, "students")))


def test_a_student_without_labels_is_told_how_to_make_them(configure: Configure, copied: Path) -> None:
    config = configure(copied)
    with pytest.raises(SampleError, match=r"no label set 'pseudolabels'.*generate-distillation-labels"):
        train(student(config, beside(config, "students")))


def test_a_section_that_went_missing_since_is_named(teachers: TrainConfig, copied: Path) -> None:
    shutil.rmtree(copied / "C1")
    with pytest.raises(SplitError, match="the folds name 'C1'"):
        train(student(teachers, beside(teachers, "students")))


def test_labels_come_from_finished_runs_of_teachers_only(
    teachers: TrainConfig, copied: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="no run at"):
        label(replace(teachers, run_dir=str(tmp_path / "nowhere")))
    config = student(teachers, beside(teachers, "students"))
    train(config)
    with pytest.raises(CheckpointError, match="holds students"):
        label(replace(teachers, run_dir=config.run_dir))
    Path(f"{teachers.run_dir}/repeat_0_fold_1/metrics.parquet").unlink()
    with pytest.raises(CheckpointError, match=r"fold 1 of .* is not finished"):
        label(teachers)


def test_samples_of_another_encoder_or_of_no_fold_get_no_labels(teachers: TrainConfig, copied: Path) -> None:
    cohort = open_cohort(copied)
    for sample in cohort.samples.values():
        sample.manifest["settings"]["encoder"] = "phikon@2"
    with pytest.raises(CheckpointError, match=r"encoded with phikon@2, the teachers with stain@1"):
        generate_labels(teachers, cohort)
    strangers = replace(cohort, samples={f"X{name}": sample for name, sample in cohort.samples.items()})
    with pytest.raises(CohortError, match="none of the samples"):
        generate_labels(teachers, strangers)
