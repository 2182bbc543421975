"""What a run keeps beside weights and scores: what training chose, its curves, what it missed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from miso.errors import CheckpointError
from miso.models.residuals import Residuals
from miso.models.trust import read_trust
from miso.reports.runs import FinishedRun
from miso.training.history import FILE, History
from miso.untrusted.documents import read_json


def folds_of(run: FinishedRun) -> Iterator[tuple[int, int, Path]]:
    """Yield repeat, fold and checkpoint folder of those that are there."""
    for repeat in range(run.settings["n_repeats"]):
        for fold in range(len(run.folds)):
            folder = run.folder.checkpoint(repeat, fold)
            if (folder / "config.json").is_file():
                yield repeat, fold, folder


def chosen_in_training(run: FinishedRun) -> list[dict[str, Any]]:
    """Return a row a fold: what it held out, and what validation chose; nothing without checkpoints."""
    rows = []
    for repeat, fold, folder in folds_of(run):
        notes: dict[str, Any] = _config(folder).get("notes", {})
        about = {"repeat": repeat, "fold": fold, "test": ", ".join(run.folds[fold]["test"])}
        rows.append({**about, **{key: value for key, value in notes.items() if key != "preset"}})
    return rows


def curves_of(run: FinishedRun) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return (epoch, value) by what is drawn and by fold, as far as folds keep a `training.history`.

    Raises
    ------
    CheckpointError
        If a history is damaged.
    """
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for repeat, fold, checkpoint in folds_of(run):
        history = History(checkpoint.parent / FILE)
        try:
            table = history.read()
        except (ValueError, OSError) as err:
            raise CheckpointError(f"{history.file} is damaged; remove it, the run does without") from err
        name = f"fold {fold}" if run.settings["n_repeats"] == 1 else f"repeat {repeat}, fold {fold}"
        for phase, rows in table.groupby("phase", sort=False):
            kind, _, part = str(phase).partition(" ")  # "proving 2 of 5" is a part of "proving"
            for what in ("loss", "score"):
                line = rows[["epoch", what]].dropna().astype(float).itertuples(index=False, name=None)
                curves.setdefault(f"{kind}: {what}", {})[f"{name}, {part}" if part else name] = list(line)
    return {title: lines for title, lines in curves.items() if any(lines.values())}


def residuals_of(run: FinishedRun) -> Residuals | None:
    """Put together what the first repeat's folds missed on sections that they held out; None of none.

    Raises
    ------
    CheckpointError
        If what a fold keeps is damaged.
    """
    found = []
    for repeat, fold, folder in folds_of(run):
        config = _config(folder)
        if repeat:
            continue
        residuals, _ = read_trust(folder, genes=len(config["genes"]), in_dim=config["arguments"]["in_dim"])
        if residuals is not None and config["genes"] == run.cohort.genes:
            seen = [name for name in residuals.sections if name not in run.folds[fold]["test"]]
            found.append(residuals.without(seen))
    return Residuals.together([each for each in found if each is not None])


def _config(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_json(folder / "config.json")
    return content
