"""A run at a URL: every fold is published when it is done, the run's own files and its record last."""

import shutil
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pandas as pd

from miso.errors import CheckpointError, ConfigError
from miso.launch import State
from miso.launch.progress import Track, silent
from miso.launch.provenance import digest
from miso.launch.result import is_there, make_at, making
from miso.storage import Busy
from miso.storage.fetched import borrow, cache_folder
from miso.storage.remote import local_path, shown
from miso.storage.store import JSON, begin, check_writable, fetch, publish, published
from miso.training.config import TrainConfig
from miso.training.folder import LOG, RunFolder, fold_name
from miso.training.run import Plan, Run, Tell, required
from miso.training.team import ALONE, Team
from miso.untrusted.documents import read_json

AGAIN_S: Final = 1.0
"""Seconds between looks at what another process is making."""


def open_run(plan: Plan, tell: Tell = lambda line: None, track: Track = silent, team: Team = ALONE) -> Run:
    """Open the run of a plan, at a path or a URL."""
    place = required(plan.config.run_dir, "run_dir")
    return (Run if local_path(place) is not None else RunAtUrl)(plan, tell, track, team)


def run_folder(config: TrainConfig) -> RunFolder:
    """Return the folder of a run that is there, a copy of it where `run_dir` is a URL.

    Raises
    ------
    CheckpointError
        If the run at a URL is not whole.
    StorageError
        If the URL cannot be read.
    """
    place = required(config.run_dir, "run_dir")
    if local_path(place) is None and published(place) is None:
        raise CheckpointError(f"no finished run at {shown(place)}; run the same miso train command to go on")
    return RunFolder(path=fetch(place, cache_folder(config.cache)))


class RunAtUrl(Run):
    """A run whose folds are trained below the cache of this machine and then published.

    A fold is made under a lease, its record last, so that any machine goes on from those that are there.
    What was predicted of its test sections is published before its record.
    """

    def _find_folder(self, run_dir: str) -> RunFolder:
        check_writable(run_dir)
        if self._team.size > 1:
            raise ConfigError(
                f"run_dir={shown(run_dir)} is a URL, which processes of one training cannot share; pass a "
                "path, or workers=N in place of torchrun"
            )
        self._url, self._cache = run_dir.rstrip("/"), cache_folder(self.plan.config.cache)
        self._record: Mapping[str, JSON] = {
            "settings": self.plan.config.content(),
            "inputs": {name: _short(value) for name, value in self._inputs.items()},
            "folds": digest(self.plan.splits.as_json()),
        }
        return RunFolder(path=making(self._url, self._cache, self._record))

    def begin(self) -> None:
        """Mark the place of the run, or find the same one there."""
        is_there(self._url, self._record)
        super().begin()
        begin(self._url)

    def train_all(self) -> None:
        """Train every fold that is not there; those that another process is at are left for last."""
        waiting, told = deque(self.plan.folds), set()
        while waiting:
            fold = waiting.popleft()
            try:
                self.train(*fold)
            except Busy as err:
                waiting.append(fold)
                if fold not in told:
                    self.say(f"left for later: {err}")
                    told.add(fold)
                if told.issuperset(waiting):
                    time.sleep(AGAIN_S)

    def train(self, repeat: int, index: int) -> tuple[State, str]:
        """Train and publish a fold if it is not there, and say how well it does."""

        def make(out: Path) -> tuple[State, str]:
            folder = RunFolder(path=out.parent)
            state, words = self._train(folder, repeat, index)
            self._publish_predictions(folder)
            if (log := folder.path / LOG).is_file():
                log.replace(out / LOG)
            return state, "trained before, and published now" if state == "skipped" else words

        place = f"{self._url}/{fold_name(repeat, index)}"
        return self._told(repeat, index, *make_at(place, self._cache, self._record, make))

    def finish(self) -> dict[str, Any]:
        """Publish the run's own files; return the summary, as in `summary.json`.

        Where another process is doing so, wait for it.
        """
        while not is_there(self._url, self._record):
            with suppress(Busy):
                make_at(self._url, self._cache, self._record, self._gather)
                break
            time.sleep(AGAIN_S)
        shutil.rmtree(self.folder.path.parent, ignore_errors=True)
        with borrow(f"{self._url}/summary.json", self._cache) as file:
            summary: dict[str, Any] = read_json(file)
        return summary

    def check_seen(self) -> None:
        """Nothing has to be seen but the URL."""

    def say(self, line: str) -> None:
        """Tell a line, and log it where the run was begun."""
        with suppress(FileNotFoundError):  # on another machine, or another process has ended the run
            self.folder.log(line)
        self._tell(line)

    def _gather(self, out: Path) -> tuple[State, str]:
        """Write the run's own files to a folder, from the folds that were published."""
        folder = RunFolder(path=out)
        folder.begin(self.plan.config, self.plan.splits, self._inputs)
        folder.summarize([self._table(name) for name in sorted(fold_name(*fold) for fold in self.plan.folds)])
        return "done", ""

    def _table(self, fold: str) -> pd.DataFrame:
        with borrow(f"{self._url}/{fold}/metrics.parquet", self._cache) as file:
            return pd.read_parquet(file)

    def _publish_predictions(self, folder: RunFolder) -> None:
        for file in sorted(folder.path.glob("predictions/**/*.h5ad")):
            publish(file, f"{self._url}/{file.relative_to(folder.path).as_posix()}", self._record)


def _short(value: Any) -> JSON:
    """Leave numbers and names as they are; of what is told by Sample, tell that it is the same."""
    return {key: digest(one) for key, one in value.items()} if isinstance(value, Mapping) else value
