"""A cross-validated run: folds of repeats, each trained, saved and scored once, and resumed if cut off."""

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from miso.errors import ConfigError, SplitError
from miso.launch import State
from miso.launch.progress import Track, silent
from miso.launch.provenance import digest
from miso.launch.result import require_folder
from miso.samples import Cohort, Fold, Sample, Splits, open_cohort, read_splits
from miso.samples.genes import Missing
from miso.samples.tables import open_table
from miso.storage import claim
from miso.storage.fetched import cache_folder
from miso.storage.remote import local_path
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a configuration comes to: its cohort, its folds, and how one of them is trained."""

    config: TrainConfig
    cohort: Cohort
    splits: Splits
    train_fold: TrainFold

    @property
    def folds(self) -> list[tuple[int, int]]:
        """Every (repeat, fold)."""
        return [(r, f) for r in range(self.config.n_repeats) for f in range(len(self.splits.folds))]


class Run:
    """A run under way in this process, or in a team of which it is one; the lead alone writes and tells.

    What is told is kept in `run.log` too.
    """

    def __init__(
        self, plan: Plan, tell: Tell = lambda line: None, track: Track = silent, team: Team = ALONE
    ) -> None:
        self.plan = plan
        self._tell, self._team = tell, team
        self._track = track if team.leads else silent
        self._inputs = fingerprints(plan.config, plan.cohort)
        self._settings = _settings_of_snapshots(plan.config, self._inputs, team)
        self._held: Held | None = None  # by all folds, so that those of a small cohort read each section once
        self.folder = self._find_folder(required(plan.config.run_dir, "run_dir"))

    def _find_folder(self, run_dir: str) -> RunFolder:
        return RunFolder(path=local_path(run_dir) or Path(run_dir))

    def begin(self) -> None:
        """Write the configuration, or find the same one there."""
        _check_members(self.plan.splits, self.plan.cohort)
        if self._team.leads:
            self.folder.begin(self.plan.config, self.plan.splits, self._inputs)
        self._team.wait()
        if self._team.size > 1:
            self.say(f"{self._team.size} processes share every step")
        for note in (
            *self.plan.cohort.notes,
            *self.plan.splits.notes,
            *_notes_on_weights(self.plan.config, self.plan.cohort),
        ):
            self.say(note)

    def train_all(self) -> None:
        """Train every fold that is not done, one after the other."""
        for fold in self.plan.folds:
            self.train(*fold)

    def train(self, repeat: int, index: int) -> tuple[State, str]:
        """Train a fold if it is not done, and say how well it does.

        Raises
        ------
        Busy
            If another process is at it.
        """
        return self._told(repeat, index, *self._train(self.folder, repeat, index))

    def finish(self) -> dict[str, Any]:
        """Gather what the folds came to; return the summary, as in `summary.json`."""
        return self.folder.finish()

    def check_seen(self) -> None:
        """Insist, in a worker, that the folder which the driver began is seen here."""
        require_folder(self.folder.path)

    def _train(self, folder: RunFolder, repeat: int, index: int) -> tuple[State, str]:
        job = self._job(folder, repeat, index)
        if self._is_done(job):
            return "skipped", "already there"
        with claim(folder.fold(repeat, index)) if self._team.leads else nullcontext():
            if self._is_done(job):  # by another process since
                return "skipped", "already there"
            table = self.plan.train_fold(job)
            if self._team.leads:
                folder.write_fold_table(repeat, index, table)
        assert self._is_done(job)
        return "done", _in_words(table)

    def say(self, line: str) -> None:
        """Tell and log a line."""
        if self._team.leads:
            self.folder.log(line)
            self._tell(line)

    def _is_done(self, job: FoldJob) -> bool:
        """Whether a fold is finished; its snapshots are removed then."""
        (done,) = self._team.as_lead([job.run.is_done(job.repeat, job.index)])
        if done and self._team.leads and job.host.snapshots:
            job.host.snapshots.remove()
        return bool(done)

    def _told(self, repeat: int, index: int, state: State, words: str) -> tuple[State, str]:
        test = ", ".join(self.plan.splits.folds[index].test) or "none"
        self.say(f"repeat {repeat}, fold {index} (test {test}): {words}")
        return state, words

    def _job(self, run: RunFolder, repeat: int, index: int) -> FoldJob:
        folder = run.fold(repeat, index)
        device = choose_device(self.plan.config.device, self._team)
        self._held = self._held or Held.on(device)
        snapshots = Snapshots(
            folder=folder / "snapshots", settings=self._settings, say=self.say, every_s=EVERY_S
        )
        host = Host(team=self._team, snapshots=snapshots, history=History(folder / FILE), track=self._track)
        return FoldJob(
            config=self.plan.config,
            cohort=self.plan.cohort,
            fold=self.plan.splits.folds[index],
            index=index,
            repeat=repeat,
            run=run,
            device=device,
            held=self._held,
            host=host,
        )


def open_training_cohort(config: TrainConfig) -> Cohort:
    """Open the cohort that a configuration names; one at a URL is fetched, students' with their labels."""
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
        labels=config.labels if config.model == "patch" else None,
        cache=cache_folder(config.cache),
    )


def open_splits(config: TrainConfig, cohort: Cohort) -> Splits:
    """Read the splits that a configuration names."""
    return read_splits(required(config.splits, "splits"), cohort.patients)


def required(value: str | None, key: str) -> str:
    """Insist on a setting."""
    if value is None:
        raise ConfigError(f"{key} is not set; pass {key}=…")
    return value


def _check_members(splits: Splits, cohort: Cohort) -> None:
    for name in (name for fold in splits.folds for name in (*fold.train, *fold.val, *fold.test)):
        if name not in cohort.samples:
            raise SplitError(f"the folds name {name!r}, but there are {', '.join(sorted(cohort.samples))}")


def _settings_of_snapshots(config: TrainConfig, inputs: dict[str, Any], team: Team) -> dict[str, Any]:
    """Name what a training has to have in common with a snapshot that it goes on from."""
    return {
        **config.content(),
        "device": choose_device(config.device, team).type,
        "processes": team.size,
        "inputs": digest(inputs),
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
