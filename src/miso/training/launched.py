"""Training a run whose folds are units: each in a process of its own, here or on a cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from miso.launch import Outcome, RunReport, State, Unit, map_units
from miso.launch.memory import limit_memory
from miso.launch.result import require_folder
from miso.launch.units import Do
from miso.training.config import TrainConfig
from miso.training.run import Run, Tell
from miso.training.train import plan_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldWork:
    """Trains folds of one run; a worker opens the cohort once."""

    config: TrainConfig

    def open(self) -> Do[tuple[int, int]]:
        """Open the cohort."""
        limit_memory(self.config.how().memory)
        run = Run(plan_of(self.config))
        require_folder(run.folder.path)

        def do(task: tuple[int, int]) -> tuple[State, str]:
            return run.train(*task)

        return do


def train_on_workers(
    config: TrainConfig,
    tell: Tell = lambda line: None,
    tell_fold: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[dict[str, Any], RunReport]:
    """Train every fold of a run that is not done yet, on the workers that the configuration launches.

    The run folder has to be where all of them see it.

    Returns
    -------
    dict, RunReport
        The summary, as in `summary.json`, empty while a fold is lacking; and what became of each fold.

    Raises
    ------
    MisoError
        If the configuration, the cohort or the splits are at fault; nothing is written then.
    """
    run = Run(plan_of(config), tell)
    run.begin()
    units = [Unit(name=f"repeat_{fold[0]}_fold_{fold[1]}", task=fold) for fold in run.plan.folds]
    report = map_units(units, FoldWork(config=config), config.how(), tell_fold)
    return ({} if report.having("failed") else run.folder.finish()), report
