"""A cross-validated run: every fold of every repeat trained, saved and scored, and resumed if cut off."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
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
from miso.training.gene_weights import ignored_genes, weights_fingerprint
from miso.training.history import FILE, History
from miso.training.loop import Host
from miso.training.sections import Held
from miso.training.snapshot import EVERY_S, Snapshots
from miso.training.table import COLUMNS
from miso.training.team import ALONE, Team

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
    held: Held
    host: Host

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
    team: Team = ALONE,
) -> dict[str, Any]:
    """Train every fold that is not done yet; return the summary. What is told is kept in `run.log` too.

    Of a team the lead alone writes and tells, and has a summary.
    """
    run = RunFolder(path=Path(required(config.run_dir, "run_dir")))
    _check_members(splits, cohort)
    inputs = fingerprints(config, cohort)
    if team.leads:
        run.begin(config, splits, inputs)
    team.wait()

    def say(line: str) -> None:
        if team.leads:
            run.log(line)
            tell(line)

    if team.size > 1:
        say(f"{team.size} processes share every step")
    for note in (*splits.notes, *_notes_on_weights(config, cohort)):
        say(note)
    settings = _settings_of_snapshots(config, inputs, team)

    def host(folder: Path) -> Host:
        snapshots = Snapshots(folder=folder / "snapshots", settings=settings, say=say, every_s=EVERY_S)
        history = History(folder / FILE)
        return Host(team=team, snapshots=snapshots, history=history, track=track if team.leads else silent)

    for job in _jobs(config, cohort, splits, run, host):
        where = f"repeat {job.repeat}, fold {job.index} (test {', '.join(job.fold.test) or 'none'})"
        (done,) = team.as_lead([run.is_done(job.repeat, job.index)])
        if done:
            say(f"{where}: already there")
        else:
            table = train_fold(job)
            if team.leads:
                run.write_fold_table(job.repeat, job.index, table)
            say(f"{where}: {_in_words(table)}")
        if team.leads and job.host.snapshots:
            job.host.snapshots.remove()
    return run.finish() if team.leads else {}


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
    config: TrainConfig, cohort: Cohort, splits: Splits, run: RunFolder, host: Callable[[Path], Host]
) -> Iterator[FoldJob]:
    held = None  # by all folds, so that those of a small cohort read each section once
    for repeat in range(config.n_repeats):
        for index, fold in enumerate(splits.folds):
            own = host(run.fold(repeat, index))
            device = choose_device(config.device, own.team)
            held = held or Held.on(device)
            yield FoldJob(
                config=config,
                cohort=cohort,
                fold=fold,
                index=index,
                repeat=repeat,
                run=run,
                device=device,
                held=held,
                host=own,
            )


def _check_members(splits: Splits, cohort: Cohort) -> None:
    for name in (name for fold in splits.folds for name in (*fold.train, *fold.val, *fold.test)):
        if name not in cohort.samples:
            raise SplitError(f"the folds name {name!r}, but there are {', '.join(sorted(cohort.samples))}")


def _settings_of_snapshots(config: TrainConfig, inputs: dict[str, Any], team: Team) -> dict[str, Any]:
    """Name what a training has to have in common with a snapshot that it goes on from."""
    about = asdict(config)
    about["cohort"].pop("path")
    about.pop("run_dir")
    return {
        **about,
        "device": choose_device(config.device, team).type,
        "processes": team.size,
        "inputs": hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16],
        "miso_version": version("miso-spatial"),
    }


def fingerprints(config: TrainConfig, cohort: Cohort) -> dict[str, Any]:
    """Name the content a run depends on: genes, the settings of each Sample and, for students, the labels."""
    inputs: dict[str, Any] = {
        "genes": len(cohort.genes),
        "genes_sha256": hashlib.sha256("\n".join(cohort.genes).encode()).hexdigest()[:16],
        "samples": {name: sample.manifest["settings"] for name, sample in cohort.samples.items()},
    }
    if cohort.target.transform is None:
        inputs["table"] = {name: _sha256(sample, config.target) for name, sample in cohort.samples.items()}
    if config.gene_weights is not None:
        inputs["gene_weights"] = weights_fingerprint(config.gene_weights, cohort)
    if config.model == "patch":
        taught = [sample for sample in cohort.samples.values() if config.labels in sample.label_sets]
        inputs["labels"] = {sample.name: sample.labels(config.labels).fingerprints() for sample in taught}
    return inputs


def _notes_on_weights(config: TrainConfig, cohort: Cohort) -> list[str]:
    ignored = ignored_genes(config.gene_weights, cohort.genes) if config.gene_weights else []
    return [
        f"{len(ignored)} genes of {config.gene_weights} are not predicted (first: {gene!r}); ignored"
        for gene in ignored[:1]
    ]


def _sha256(sample: Sample, table: str) -> str:
    with sample.briefly(whole=False):
        values = open_table(sample, table).values
    return hashlib.sha256(values.to_numpy().tobytes() + "\n".join(values.columns).encode()).hexdigest()[:16]


def empty_table() -> pd.DataFrame:
    """Return the table of a fold without test samples."""
    return pd.DataFrame(
        {column: pd.Series(dtype="float64" if column == "value" else "str") for column in COLUMNS}
    )


def _in_words(table: pd.DataFrame) -> str:
    if table.empty:
        return "trained for use, nothing held out"
    r = table[table["metric"] == "pearson"].groupby("model", sort=False)["value"].mean()
    scored = r.drop("mean", errors="ignore")  # whose r is never defined
    return ", ".join(
        f"{name} r = {value:.3f}" if np.isfinite(value) else f"{name} predicts nothing (r undefined)"
        for name, value in scored.items()
    )
