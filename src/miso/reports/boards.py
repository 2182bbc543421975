"""Boards: runs on the same target, folds, genes and spots, the only ones that one table may hold."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from miso.reports.runs import FinishedRun
from miso.samples import Sample
from miso.samples.targets import Target

KEYS = ["repeat", "fold", "sample", "gene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Runs that may be compared.

    Attributes
    ----------
    name
        Short and unique, fit for a file name.
    values
        Tidy: repeat, fold, sample, patient, model, gene, target, metric, value; a run's own model has the
        run's name.
    baselines
        By run, its baselines: their own name, and the name in `values`. Baselines that came out the same in
        two runs stand there once.
    """

    name: str
    runs: list[FinishedRun]
    values: pd.DataFrame
    baselines: dict[str, dict[str, str]]

    @property
    def target(self) -> Target:
        """What is predicted."""
        return self.runs[0].cohort.target

    @property
    def run_names(self) -> list[str]:
        """What the runs are called."""
        return [run.name for run in self.runs]

    @property
    def genes(self) -> list[str]:
        """Genes that are predicted."""
        return self.runs[0].cohort.genes

    @property
    def folds(self) -> list[dict[str, list[str]]]:
        """Names of the samples of each fold's parts."""
        return self.runs[0].folds

    @property
    def samples(self) -> dict[str, Sample]:
        """Every Sample of the folds."""
        return self.runs[0].cohort.samples

    @property
    def tested(self) -> list[str]:
        """Sections that some fold holds out."""
        return self.runs[0].tested

    @property
    def tested_patients(self) -> list[str]:
        """Patients of those sections."""
        return sorted({self.samples[name].patient for name in self.tested})

    @property
    def sections_in_words(self) -> str:
        """How many sections of how many patients are held out."""
        sections, patients = len(self.tested), len(self.tested_patients)
        return f"{sections} section{'s' * (sections > 1)} of {patients} patient{'s' * (patients > 1)}"

    @property
    def models(self) -> list[str]:
        """Runs first, then baselines, best first by r over all genes."""
        r = self.values[self.values["metric"] == "pearson"].groupby("model")["value"].mean()
        baselines = sorted(
            (m for m in r.index if m not in self.run_names), key=lambda m: -np.nan_to_num(r[m], nan=-9)
        )
        return [*self.run_names, *baselines]


def gather(runs: Sequence[FinishedRun]) -> list[Board]:
    """Put runs that may be compared on one board, in the order in which they are given."""
    alike: dict[Hashable, list[FinishedRun]] = {}
    for run in runs:
        alike.setdefault(_sameness(run), []).append(run)
    targets = [group[0].settings["target"] for group in alike.values()]
    boards = []
    for index, group in enumerate(alike.values()):
        earlier = targets[:index].count(targets[index])
        boards.append(_board(f"{targets[index]}-{earlier + 1}" if earlier else targets[index], group))
    return boards


def _sameness(run: FinishedRun) -> Hashable:
    """Return what two runs share where one table may hold both."""
    counts = tuple(
        (name, len(sample.adata), float(sample.adata.X.sum()))
        for name, sample in sorted(run.cohort.samples.items())
    )
    folds = tuple(tuple((part, tuple(names)) for part, names in fold.items()) for fold in run.folds)
    return run.settings["target"], folds, tuple(run.cohort.genes), counts


def _board(name: str, runs: list[FinishedRun]) -> Board:
    parts = [run.table[run.table["model"] == run.model].assign(model=run.name) for run in runs]
    shown: dict[str, tuple[str, pd.Series]] = {}
    baselines: dict[str, dict[str, str]] = {run.name: {} for run in runs}
    for run in runs:
        for own in run.baselines:
            rows = run.table[run.table["model"] == own]
            scores = _scores(rows)
            alike = (title for title, (of, other) in shown.items() if of == own and _equal(scores, other))
            title = next(alike, "")
            if not title:
                title = own if own not in shown else f"{own} ({run.name})"
                shown[title] = own, scores
                parts.append(rows.assign(model=title))
            baselines[run.name][own] = title
    values = pd.concat(parts, ignore_index=True)
    values.insert(3, "patient", values["sample"].map(runs[0].cohort.patients))
    return Board(name=name, runs=runs, values=values, baselines=_lent(runs, baselines))


def _lent(runs: list[FinishedRun], baselines: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Give a run that was trained without baselines those of another one on the same features."""
    own = {run.encoder: baselines[run.name] for run in reversed(runs) if baselines[run.name]}
    return {run.name: baselines[run.name] or own.get(run.encoder, {}) for run in runs}


def _scores(rows: pd.DataFrame) -> pd.Series:
    r: pd.Series = rows[rows["metric"] == "pearson"].set_index(KEYS)["value"].sort_index()
    return r


def _equal(a: pd.Series, b: pd.Series) -> bool:
    return a.index.equals(b.index) and np.allclose(a, b, atol=1e-4, equal_nan=True)
