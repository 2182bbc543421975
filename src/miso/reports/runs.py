"""Finished runs of `miso train`, opened beside the Samples that they were scored on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyarrow as pa

from miso.errors import CheckpointError, CohortError, ConfigError
from miso.launch.provenance import differences
from miso.samples import Cohort, open_cohort
from miso.samples.targets import Values, target_values
from miso.scores.metrics import pearson
from miso.storage.remote import local_path
from miso.training.baselines import BASELINES
from miso.training.folder import RunFolder
from miso.training.table import COLUMNS
from miso.untrusted.documents import read_yaml
from miso.untrusted.hdf5_links import LinkError, check_hdf5

TOLERANCE = 1e-3
"""How far r may lie from what the run recorded: a prediction is kept in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run that is done.

    Attributes
    ----------
    name
        What it is called in tables.
    model
        What its own model is called in its table: `miso` or `patch`.
    made
        When, and by which version.
    table
        Its metrics: repeat, fold, sample, model, gene, target, metric, value.
    cohort
        The Samples of its folds, with its genes and target.
    """

    name: str
    model: str
    folder: RunFolder
    settings: Mapping[str, Any]
    splits: Mapping[str, Any]
    made: Mapping[str, Any]
    table: pd.DataFrame
    cohort: Cohort

    @property
    def folds(self) -> list[dict[str, list[str]]]:
        """Names of the samples of each fold's parts."""
        return [{part: fold[part] for part in ("train", "val", "test")} for fold in self.splits["folds"]]

    @property
    def tested(self) -> list[str]:
        """Sections that some fold holds out."""
        return sorted({name for fold in self.folds for name in fold["test"]})

    @property
    def encoder(self) -> str:
        """Whose features it reads."""
        return next(iter(self.cohort.samples.values())).encoder_id

    @property
    def baselines(self) -> list[str]:
        """Baselines that were scored beside it."""
        return [name for name in self.table["model"].unique() if name != self.model]


def open_runs(
    paths: Sequence[Path], cohort: Path | str | None = None, cache: Path | None = None
) -> list[FinishedRun]:
    """Open runs, and name each after its preset, or after its folder where presets repeat.

    Parameters
    ----------
    cohort, cache
        Folder or URL of the Samples, where they have moved since; and the folder for copies of those at URLs.

    Raises
    ------
    CheckpointError
        If a folder is no run, is not finished, is damaged, or held nothing out.
    CohortError
        If its Samples are not there, or not those that it was scored on.
    ConfigError
        If a run is given twice.
    """
    repeated = [path for path, times in Counter(path.resolve() for path in paths).items() if times > 1]
    if repeated:
        raise ConfigError(f"the run {repeated[0]} is given twice")
    return _named([_open_run(path, cohort, cache) for path in paths])


def _open_run(path: Path, moved: Path | str | None, cache: Path | None) -> FinishedRun:
    folder = RunFolder(path=path)
    settings, splits = folder.settings(), folder.splits()
    table = _read_table(folder, settings, splits)
    genes = list(dict.fromkeys(table["gene"]))
    model = "patch" if settings["model"] == "patch" else "miso"
    run = FinishedRun(
        name=_own_name(settings),
        model=model,
        folder=folder,
        settings=settings,
        splits=splits,
        made=_made(folder),
        table=table,
        cohort=replace(_open_samples(path, settings, splits, moved, cache), genes=genes),
    )
    _check_scores(run)
    return run


def _made(folder: RunFolder) -> dict[str, Any]:
    content: dict[str, Any] = read_yaml(folder.path / "config.yaml")
    return {key: value for key, value in content.items() if key != "settings"}


def _read_table(folder: RunFolder, settings: Mapping[str, Any], splits: Mapping[str, Any]) -> pd.DataFrame:
    for repeat in range(settings["n_repeats"]):
        for fold in range(len(splits["folds"])):
            if not folder.is_done(repeat, fold):
                raise CheckpointError(
                    f"{folder.path} is not finished (repeat {repeat}, fold {fold}); "
                    "run the same miso train command to go on"
                )
    file = folder.path / "metrics.parquet"
    try:
        table = pd.read_parquet(file)
    except FileNotFoundError as err:
        raise CheckpointError(
            f"{folder.path} is not finished (no metrics.parquet); run the same miso train command to go on"
        ) from err
    except (pa.ArrowException, OSError, ValueError) as err:
        raise CheckpointError(
            f"{file} is damaged; run the same miso train command to write it again"
        ) from err
    if not set(COLUMNS) <= set(table.columns):
        raise CheckpointError(
            f"{file} lacks columns ({', '.join(sorted(set(COLUMNS) - set(table.columns)))})"
        )
    if table.empty:
        raise CheckpointError(f"{folder.path} held nothing out, so there is nothing to compare")
    return table[COLUMNS]


def _open_samples(
    path: Path,
    settings: Mapping[str, Any],
    splits: Mapping[str, Any],
    moved: Path | str | None,
    cache: Path | None,
) -> Cohort:
    where = str(moved or settings["cohort"]["path"])
    if (folder := local_path(where)) is not None and not folder.is_dir():
        raise CohortError(
            f"the Samples of {path} are not at {where}; pass --cohort DIR, the folder that holds them"
        )
    names = sorted(
        {name for fold in splits["folds"] for part in ("train", "val", "test") for name in fold[part]}
    )
    cohort = open_cohort(where, only=names, target=settings["target"], cache=cache)
    for name, made in settings["inputs"]["samples"].items():
        if name in cohort.samples and (
            differing := differences(made, cohort.samples[name].manifest["settings"])
        ):
            raise CohortError(
                f"the Sample {name!r} in {where} is not the one that {path} was trained on: {differing[0]}; "
                "pass --cohort DIR, or train again"
            )
    return cohort


def read_prediction(run: FinishedRun, sample: str) -> Values:
    """Read a section's out-of-fold prediction of the first repeat, spots and genes in the run's order.

    Raises
    ------
    CheckpointError
        If it is absent, damaged, or of other genes or spots.
    """
    file = run.folder.path / "predictions" / f"{sample}.h5ad"
    try:
        check_hdf5(file)
        predicted = anndata.read_h5ad(file)
    except (OSError, KeyError, LinkError) as err:
        raise CheckpointError(f"{file} is absent or damaged; train again") from err
    spots = list(run.cohort.samples[sample].adata.obs_names)
    if list(predicted.var_names) != run.cohort.genes or list(predicted.obs_names) != spots:
        raise CheckpointError(f"{file} is of other genes or spots than the run's; train again")
    return np.asarray(predicted.X, dtype=np.float32)


def _check_scores(run: FinishedRun) -> None:
    """Refuse Samples whose counts do not give the r that the run recorded."""
    first = run.table[
        (run.table["metric"] == "pearson") & (run.table["model"] == run.model) & (run.table["repeat"] == 0)
    ]
    for name, recorded in first.groupby("sample", observed=True):
        sample = run.cohort.samples[str(name)]
        measured = target_values(sample, run.cohort.target, run.cohort.genes)
        now = pearson(read_prediction(run, str(name)), measured)
        then = recorded.set_index("gene")["value"].reindex(run.cohort.genes).to_numpy()
        gap = np.abs(now - then)
        if np.nanmax(gap, initial=0.0) > TOLERANCE:
            worst = int(np.nanargmax(gap))
            raise CohortError(
                f"the counts of Sample {name!r} are not those that {run.folder.path} was scored on "
                f"({run.cohort.genes[worst]}: r was {then[worst]:.3f}, is {now[worst]:.3f}); train again"
            )


def _own_name(settings: Mapping[str, Any]) -> str:
    preset = str(settings["preset"])
    return f"{preset} student" if settings["model"] == "patch" else preset


def _named(runs: list[FinishedRun]) -> list[FinishedRun]:
    """Tell runs of one target apart: by preset, by folder, by folder and its parent, by number."""
    taken = set(BASELINES)
    names = [(run.settings["target"], run.name) for run in runs]
    folders = [run.folder.path.resolve() for run in runs]
    named: list[FinishedRun] = []
    for index, run in enumerate(runs):
        choices = [
            run.name if names.count(names[index]) == 1 else "",
            folders[index].name if [f.name for f in folders].count(folders[index].name) == 1 else "",
            "/".join(folders[index].parts[-2:]),
            f"{folders[index].name} {index + 1}",
        ]
        others = {n.name for n in named if n.settings["target"] == run.settings["target"]}
        name = next(choice for choice in choices if choice and choice not in taken | others)
        named.append(replace(run, name=name))
    return named
