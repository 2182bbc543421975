"""Pseudo-labels: what a run's teachers say of the spots of the samples they may speak of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import CheckpointError, CohortError, ConfigError, SampleError
from miso.launch import State
from miso.launch.progress import Track, silent
from miso.launch.provenance import digest, stamp
from miso.launch.result import make_at
from miso.models import Checkpoint, MisoModel, load_checkpoint
from miso.samples import Cohort, Fold, Sample, Splits
from miso.samples.at_url import labels_url
from miso.samples.labels import LabelSet, open_labels, write_labels
from miso.storage.fetched import cache_folder, fetch
from miso.storage.remote import is_url, local_path
from miso.training.config import CohortConfig, TrainConfig
from miso.training.folder import RunFolder
from miso.training.run_at_url import run_folder

Values = Float[NDArray[np.float32], "spot gene"]


def generate_labels(config: TrainConfig, cohort: Cohort, track: Track = silent) -> list[LabelSet]:
    """Write the label set `config.labels` into every Sample of a run, or beside those at a URL.

    For fold f a Sample that is held out there gets no labels. `teachers: fold` takes the teachers of fold f
    (their mean over repeats); `teachers: all` the mean over every fold, as published, and says so.

    Raises
    ------
    CheckpointError
        If the run is not finished, holds no teachers, or was trained on another encoder.
    CohortError
        If the run knows none of the samples.
    """
    if config.teachers not in ("fold", "all"):
        raise ConfigError(f"teachers is 'fold' or 'all', not {config.teachers!r}")
    run = run_folder(config)
    settings, folds = run.settings(), run.splits()["folds"]
    teachers = [_teachers(run, fold, settings["n_repeats"]) for fold in range(len(folds))]
    first = teachers[0][0]
    about = {
        "run": str(config.run_dir if is_url(config.run_dir or "") else run.path.resolve()),
        "run_settings": settings,
        "splits": run.splits(),
        "genes": first.genes,
        "target": first.target,
        "units": first.units,
        "teachers": config.teachers,
        **stamp(),
    }
    names = [
        name
        for name in cohort.samples
        if any(name in fold[part] for fold in folds for part in ("train", "val"))
    ]
    if not names:
        raise CohortError(
            f"{run.path} was trained on none of the samples given ({', '.join(cohort.samples)})"
        )
    for name in names:
        _refuse_other_labels(cohort.samples[name], _place(config, cohort.samples[name]), config.labels, about)
    written = []
    for name in track(names, len(names), "labelling"):
        written.append(_write(config, cohort.samples[name], folds, teachers, about))
    return written


def _write(
    config: TrainConfig,
    sample: Sample,
    folds: Sequence[Mapping[str, list[str]]],
    teachers: Sequence[list[Checkpoint]],
    about: Mapping[str, Any],
) -> LabelSet:
    """Write the label set of a Sample; one at a URL is published, unless it is there."""
    place, cache = _place(config, sample), cache_folder(config.cache)
    made: list[LabelSet] = []

    def make(out: Path) -> tuple[State, str]:
        with sample.briefly(whole=False):
            own = {
                f: _mean(sample, teachers[f])
                for f, fold in enumerate(folds)
                if sample.name not in fold["test"]
            }
            if config.teachers == "all":
                everyone = _mean(sample, [teacher for fold in teachers for teacher in fold])
                own = dict.fromkeys(own, everyone)
        made.append(write_labels(out, own, about))
        return "done", ""

    if (path := local_path(place)) is not None:
        make(path)
    else:
        record = {key: digest(about[key]) for key in ("run_settings", "splits")}
        make_at(place, cache, {"run": about["run"], "teachers": config.teachers, **record}, make)
    return made[0] if made else open_labels(fetch(place, cache))


def _place(config: TrainConfig, sample: Sample) -> str:
    """Where a label set of a Sample is written."""
    url = config.cohort.path or ""
    there = local_path(url) is None
    return labels_url(url, sample.name, config.labels) if there else str(sample.labels_path / config.labels)


def _refuse_other_labels(sample: Sample, place: str, name: str, about: Mapping[str, Any]) -> None:
    """Labels of the same run are made anew; those of another one are never lost without a word.

    Those that a Sample brought along to a URL stay as they are.
    """
    brought = local_path(place) is None and sample.labels_path == sample.path / "labels"
    if brought or name not in sample.label_sets:
        return
    found = sample.labels(name).about
    if any(found[key] != about[key] for key in ("run_settings", "splits", "teachers")):
        raise SampleError(
            f"sample {sample.name!r} has labels {name!r} of another making (run {found['run']}, "
            f"teachers: {found['teachers']}); pass labels=NAME to keep both, or remove {place}"
        )


def taught_by(config: TrainConfig, samples: Sequence[Sample]) -> tuple[TrainConfig, Splits]:
    """Complete a student's configuration with its teachers' genes, target and folds.

    Raises
    ------
    SampleError
        If no Sample has these labels.
    CohortError
        If the labels come from different runs, whose folds would hold out different samples.
    ConfigError
        If the configuration asks for folds, genes or a target of its own.
    """
    about = _common_origin(config.labels, samples)
    made = about["run_settings"]
    _refuse_own_choices(config, about)
    panel = CohortConfig(**{**made["cohort"], "path": config.cohort.path})
    splits = about["splits"]
    folds = [Fold(**{part: fold[part] for part in ("train", "val", "test")}) for fold in splits["folds"]]
    teachers = {"target": about["target"], "teachers": about["teachers"]}
    completed = TrainConfig(**{**vars(config), "cohort": panel, **teachers})
    notes = ("the labels come from all teachers: a held-out section was seen by some of them",)
    return completed, Splits(
        unit=splits["held_apart"], folds=folds, notes=notes if about["teachers"] == "all" else ()
    )


def _refuse_own_choices(config: TrainConfig, about: Mapping[str, Any]) -> None:
    own = {
        "splits": config.splits,
        "cohort.genes": config.cohort.genes,
        "cohort.also": config.cohort.also,
        "target": config.target if config.target not in (TrainConfig().target, about["target"]) else None,
    }
    for key, value in own.items():
        if value:
            raise ConfigError(
                f"a student takes {key} from its teachers (run {about['run']}); leave {key}= out"
            )


def _common_origin(name: str, samples: Sequence[Sample]) -> Mapping[str, Any]:
    taught = [sample for sample in samples if name in sample.label_sets] or samples[:1]
    first, *others = (sample.labels(name).about for sample in taught)
    for sample, about in zip(taught[1:], others, strict=True):
        if any(about[key] != first[key] for key in ("run", "run_settings", "splits", "teachers")):
            raise CohortError(
                f"the labels {name!r} of {taught[0].name!r} and {sample.name!r} come from different runs; "
                "make them again with one miso generate-distillation-labels"
            )
    return first


def _teachers(run: RunFolder, fold: int, repeats: int) -> list[Checkpoint]:
    found = [
        load_checkpoint(run.checkpoint(repeat, fold))
        for repeat in range(repeats)
        if run.is_done(repeat, fold)
    ]
    if len(found) < repeats:
        raise CheckpointError(
            f"fold {fold} of {run.path} is not finished; run the same miso train command to go on"
        )
    if any(checkpoint.kind != "miso" for checkpoint in found):
        raise CheckpointError(
            f"{run.path} holds students; labels come from a run of teachers (train_her2st, train_10x)"
        )
    return found


def _mean(sample: Sample, teachers: list[Checkpoint]) -> Values:
    values = [predict_sample(checkpoint, sample) for checkpoint in teachers]
    return np.asarray(np.mean(values, axis=0, dtype=np.float32))


@torch.inference_mode()
def predict_sample(checkpoint: Checkpoint, sample: Sample) -> Values:
    """Predict the spots of a Sample with a teacher."""
    if not isinstance(checkpoint.model, MisoModel):
        raise CheckpointError("only a teacher predicts spots from tile features")
    if sample.encoder_id != checkpoint.encoder:
        raise CheckpointError(
            f"sample {sample.name!r} was encoded with {sample.encoder_id}, "
            f"the teachers with {checkpoint.encoder}"
        )
    features = torch.from_numpy(sample.adata.obsm["tile_features"])
    values = checkpoint.model(features, torch.from_numpy(sample.neighbors(checkpoint.knn)))
    return np.asarray((values.clamp(min=0) if checkpoint.nonnegative else values).numpy())
