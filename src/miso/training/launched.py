"""Training a run whose folds are units: each in a process of its own, here or on a cluster."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from miso.launch import Outcome, RunReport, State, Unit, map_units
from miso.launch.memory import limit_memory
from miso.launch.units import Do
from miso.storage.fetched import cache_folder
from miso.training.config import TrainConfig
from miso.training.folder import fold_name
from miso.training.run import Tell
from miso.training.run_at_url import open_run
from miso.training.train import plan_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldWork:
    """Trains folds of one run; a worker opens the cohort once."""

    config: TrainConfig

    def open(self) -> Do[tuple[int, int]]:
        """Open the cohort."""
        limit_memory(self.config.how().memory)
        run = open_run(plan_of(self.config))
        run.check_seen()

        def do(task: tuple[int, int]) -> tuple[State, str]:
            return run.train(*task)

        return do


def train_on_workers(
    config: TrainConfig,
    tell: Tell = lambda line: None,
    tell_fold: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[dict[str, Any], RunReport]:
    """Train every fold of a run that is not done yet, on the workers that the configuration launches.

    The run folder has to be where all of them see it, or at a URL. So has the cohort.

    Returns
    -------
    dict, RunReport
        The summary, as in `summary.json`, empty while a fold is lacking; and what became of each fold.

    Raises
    ------
    MisoError
        If the configuration, the cohort or the splits are at fault; nothing is written then.
    """
    run = open_run(plan_of(config), tell)
    run.begin()
    config = replace(config, cache=str(cache_folder(config.cache)))  # of every worker, wherever it is started
    units = [Unit(name=fold_name(*fold), task=fold) for fold in run.plan.folds]
    report = map_units(units, FoldWork(config=config), config.how(), tell_fold)
    return ({} if report.having("failed") else run.finish()), report
