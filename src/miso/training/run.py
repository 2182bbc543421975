"""A cross-validated run: every fold of every repeat trained, saved and scored, and resumed if cut off."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from miso.errors import ConfigError, SplitError
from miso.launch.progress import Track, silent
from miso.samples import Cohort, Fold, Sample, Splits, open_cohort, read_splits
from miso.samples.genes import Missing
from miso.samples.tables import open_table
from miso.training.config import TrainConfig
from miso.training.device import choose_device
from miso.training.folder import RunFolder
from miso.training.table import COLUMNS

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldJob:
    """One fold of one repeat, with all it is trained from."""

    config: TrainConfig
    cohort: Cohort
    fold: Fold
    index: int
    repeat: int
    run: RunFolder
    device: torch.device
    track: Track

    @property
    def seed(self) -> int:
        """The seed of this repeat."""
        return self.config.seed + self.repeat

    @property
    def samples(self) -> list[Sample]:
        """Every sample of the fold, training first."""
        return [self.cohort.samples[name] for name in (*self.fold.train, *self.fold.val, *self.fold.test)]


TrainFold = Callable[[FoldJob], pd.DataFrame]
"""Trains a fold, writes its checkpoint and predictions, and returns its rows of the metrics table."""


def run_folds(
    config: TrainConfig,
    cohort: Cohort,
    splits: Splits,
    train_fold: TrainFold,
    tell: Tell = lambda line: None,
    track: Track = silent,
) -> dict[str, Any]:
    """Train every fold that is not done yet; return the summary. What is told is kept in `run.log` too."""
    run = RunFolder(path=Path(required(config.run_dir, "run_dir")))
    _check_members(splits, cohort)
    run.begin(config, splits, fingerprints(config, cohort))

    def say(line: str) -> None:
        run.log(line)
        tell(line)

    for note in splits.notes:
        say(note)
    for job in _jobs(config, cohort, splits, run, track):
        where = f"repeat {job.repeat}, fold {job.index} (test {', '.join(job.fold.test) or 'none'})"
        if run.is_done(job.repeat, job.index):
            say(f"{where}: already there")
            continue
        table = train_fold(job)
        run.write_fold_table(job.repeat, job.index, table)
        say(f"{where}: {_in_words(table)}")
    return run.finish()


def open_training_cohort(config: TrainConfig) -> Cohort:
    """Open the cohort that a configuration names."""
    missing = next((known for known in get_args(Missing) if known == config.cohort.missing), None)
    if missing is None:
        raise ConfigError(f"cohort.missing is 'error', 'drop' or 'mask', not {config.cohort.missing!r}")
    return open_cohort(
        required(config.cohort.path, "cohort.path"),
        genes=config.cohort.genes,
        also=config.cohort.also,
        missing=missing,
        target=config.target,
        only=config.cohort.only,
    )


def open_splits(config: TrainConfig, cohort: Cohort) -> Splits:
    """Read the splits that a configuration names."""
    return read_splits(required(config.splits, "splits"), cohort.patients)


def required(value: str | None, key: str) -> str:
    """Insist on a setting."""
    if value is None:
        raise ConfigError(f"{key} is not set; pass {key}=…")
    return value


def _jobs(
    config: TrainConfig, cohort: Cohort, splits: Splits, run: RunFolder, track: Track
) -> Iterator[FoldJob]:
    device = choose_device(config.device)
    for repeat in range(config.n_repeats):
        for index, fold in enumerate(splits.folds):
            yield FoldJob(
                config=config,
                cohort=cohort,
                fold=fold,
                index=index,
                repeat=repeat,
                run=run,
                device=device,
                track=track,
            )


def _check_members(splits: Splits, cohort: Cohort) -> None:
    for name in (name for fold in splits.folds for name in (*fold.train, *fold.val, *fold.test)):
        if name not in cohort.samples:
            raise SplitError(f"the folds name {name!r}, but there are {', '.join(sorted(cohort.samples))}")


def fingerprints(config: TrainConfig, cohort: Cohort) -> dict[str, Any]:
    """Name the content a run depends on: genes, the settings of each Sample and, for students, the labels."""
    inputs: dict[str, Any] = {
        "genes": len(cohort.genes),
        "genes_sha256": hashlib.sha256("\n".join(cohort.genes).encode()).hexdigest()[:16],
        "samples": {name: sample.manifest["settings"] for name, sample in cohort.samples.items()},
    }
    if cohort.target.transform is None:
        inputs["table"] = {name: _sha256(sample, config.target) for name, sample in cohort.samples.items()}
    if config.model == "patch":
        taught = [sample for sample in cohort.samples.values() if config.labels in sample.label_sets]
        inputs["labels"] = {sample.name: sample.labels(config.labels).fingerprints() for sample in taught}
    return inputs


def _sha256(sample: Sample, table: str) -> str:
    values = open_table(sample, table).values
    return hashlib.sha256(values.to_numpy().tobytes() + "\n".join(values.columns).encode()).hexdigest()[:16]


def empty_table() -> pd.DataFrame:
    """Return the table of a fold without test samples."""
    return pd.DataFrame(
        {column: pd.Series(dtype="float64" if column == "value" else "str") for column in COLUMNS}
    )


def _in_words(table: pd.DataFrame) -> str:
    r = table[table["metric"] == "pearson"].groupby("model", sort=False)["value"].mean()
    return (
        ", ".join(f"{name} r = {value:.3f}" for name, value in r.items() if np.isfinite(value))
        or "trained for use, nothing held out"
    )
