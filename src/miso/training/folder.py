"""A run folder: configuration, splits, one folder a fold, then tables and out-of-fold predictions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import yaml
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import CheckpointError, ConfigError
from miso.launch.provenance import differences, stamp
from miso.samples import Sample, Splits
from miso.storage import write_path
from miso.training.config import WHERE, TrainConfig
from miso.training.table import summarize
from miso.untrusted.documents import read_json, read_yaml

LOG = "run.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """Where a run keeps its things; `path` is its folder."""

    path: Path

    def fold(self, repeat: int, fold: int) -> Path:
        """Folder of one fold."""
        return self.path / fold_name(repeat, fold)

    def checkpoint(self, repeat: int, fold: int) -> Path:
        """Folder of a fold's checkpoint."""
        return self.fold(repeat, fold) / "checkpoint"

    def is_done(self, repeat: int, fold: int) -> bool:
        """Whether a fold is finished; its table is written last."""
        return (self.fold(repeat, fold) / "metrics.parquet").is_file()

    def begin(self, config: TrainConfig, splits: Splits, inputs: dict[str, Any]) -> None:
        """Write the configuration, or find the same one there and resume.

        Raises
        ------
        ConfigError
            If the folder holds a run with other settings, or something else.
        """
        settings = {**asdict(config), "inputs": inputs}
        file = self.path / "config.yaml"
        if file.is_file():
            found = {**self.settings(), "folds": _numbered(self.splits())}
            wanted = {**settings, "folds": _numbered(splits.as_json())}
            differing = differences(_content(found), _content(wanted))
            if differing:
                raise ConfigError(
                    f"{self.path} holds a run with other settings: {'; '.join(differing[:5])}. "
                    "Choose another run_dir, or remove that folder"
                )
            return
        if self.path.exists() and (not self.path.is_dir() or _holds_other_things(self.path)):
            raise ConfigError(f"{self.path} is there and is no run folder; choose another run_dir")
        with write_path(self.path / "splits.json") as temporary:
            temporary.write_text(json.dumps(splits.as_json(), indent=1))
        with write_path(file) as temporary:
            temporary.write_text(yaml.safe_dump({"settings": settings, **stamp()}, sort_keys=False))

    def settings(self) -> dict[str, Any]:
        """Read the configuration that the run was made with.

        Raises
        ------
        CheckpointError
            If there is no run, or its configuration is damaged.
        """
        file = self.path / "config.yaml"
        if not file.is_file():
            raise CheckpointError(f"no run at {self.path}: it has no config.yaml (miso train makes runs)")
        try:
            settings: dict[str, Any] = read_yaml(file)["settings"]
        except (ValueError, KeyError, TypeError) as err:
            raise CheckpointError(f"{file} is damaged ({err}); remove {self.path} and train again") from err
        return settings

    def splits(self) -> dict[str, Any]:
        """Read the folds, by sample.

        Raises
        ------
        CheckpointError
            If they are absent or damaged.
        """
        file = self.path / "splits.json"
        try:
            content: dict[str, Any] = read_json(file)
        except (FileNotFoundError, ValueError) as err:
            raise CheckpointError(f"{file} is absent or damaged; remove {self.path} and train again") from err
        if not isinstance(content, dict):
            raise CheckpointError(f"{file} is damaged; remove {self.path} and train again")
        return content

    def log(self, line: str) -> None:
        """Add a line to `run.log`, with the time."""
        with (self.path / LOG).open("a") as file:
            file.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {line}\n")

    def write_fold_table(self, repeat: int, fold: int, table: pd.DataFrame) -> None:
        """Write a fold's metrics, which marks the fold as done."""
        with write_path(self.fold(repeat, fold) / "metrics.parquet") as temporary:
            table.to_parquet(temporary, index=False)

    def write_prediction(
        self,
        repeat: int,
        sample: Sample,
        genes: list[str],
        values: Float[NDArray[np.float32], "spot gene"],
        units: str,
    ) -> None:
        """Write the out-of-fold prediction of a section; a further repeat gets a folder of its own."""
        folder = self.path / "predictions" / (f"repeat_{repeat}" if repeat else "")
        with write_path(folder / f"{sample.name}.h5ad") as temporary:
            prediction(sample, genes, values, units).write_h5ad(temporary)

    def finish(self) -> dict[str, Any]:
        """Gather the folds' tables into `metrics.parquet` and write `summary.json`."""
        files = sorted(self.path.glob("repeat_*_fold_*/metrics.parquet"))
        return self.summarize([pd.read_parquet(file) for file in files])

    def summarize(self, tables: Sequence[pd.DataFrame]) -> dict[str, Any]:
        """Put the folds' tables together as `metrics.parquet` and write `summary.json`."""
        scored = [table for table in tables if len(table)]
        table = pd.concat(scored, ignore_index=True) if scored else tables[0]
        with write_path(self.path / "metrics.parquet") as temporary:
            table.to_parquet(temporary, index=False)
        summary = summarize(table)
        with write_path(self.path / "summary.json") as temporary:
            temporary.write_text(json.dumps(summary, indent=1))
        return summary


def fold_name(repeat: int, fold: int) -> str:
    """Name a fold's folder."""
    return f"repeat_{repeat}_fold_{fold}"


def _content(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out where things lie and run: the content of what a run reads is compared on its own."""
    cohort = {key: value for key, value in settings["cohort"].items() if key != "path"}
    kept = {key: value for key, value in settings.items() if key not in WHERE}
    return {**kept, "cohort": cohort}


def _numbered(splits: dict[str, Any]) -> dict[str, Any]:
    return {str(index): fold for index, fold in enumerate(splits["folds"])}


def _holds_other_things(folder: Path) -> bool:
    """Whether there is more than what an interrupted beginning leaves behind."""
    return any(path.name != "splits.json" and not path.name.startswith(".") for path in folder.iterdir())


def prediction(
    sample: Sample, genes: list[str], values: Float[NDArray[np.float32], "spot gene"], units: str
) -> anndata.AnnData:
    """Put predictions on the spots of a Sample: `X` spot × gene, `obsm["spatial"]`, `uns["miso"]` units."""
    adata = anndata.AnnData(
        X=values, obs=sample.adata.obs.copy(), var=pd.DataFrame(index=pd.Index(genes, dtype=str))
    )
    adata.obsm["spatial"] = sample.adata.obsm["spatial"]
    adata.uns["miso"] = {
        "units": units,
        "sample": sample.name,
        "spot_diameter_um": sample.spot_diameter_um,
        **stamp(),
    }
    return adata
