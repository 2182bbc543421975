"""Training a run from its configuration: teachers over spots, or students over patches."""

from typing import Any

from miso.errors import ConfigError
from miso.launch.progress import Track, silent
from miso.samples import open_cohort
from miso.training.config import TrainConfig
from miso.training.distill import taught_by
from miso.training.folds import train_student_fold, train_teacher_fold
from miso.training.run import Tell, open_splits, open_training_cohort, required, run_folds


def train(config: TrainConfig, tell: Tell = lambda line: None, track: Track = silent) -> dict[str, Any]:
    """Train every fold of a run that is not done yet.

    Parameters
    ----------
    tell
        Called with a line about each fold.
    track
        Shows progress on epochs.

    Returns
    -------
    The summary, as in `summary.json`.

    Raises
    ------
    MisoError
        If the configuration, the cohort or the splits are at fault; nothing is written then.
    """
    if config.model == "miso":
        cohort = open_training_cohort(config)
        return run_folds(config, cohort, open_splits(config, cohort), train_teacher_fold, tell, track)
    if config.model == "patch":
        path = required(config.cohort.path, "cohort.path")
        first = next(iter(open_cohort(path, only=config.cohort.only).samples.values()))
        config, splits = taught_by(config, first)
        return run_folds(config, open_training_cohort(config), splits, train_student_fold, tell, track)
    raise ConfigError(f"model is 'miso' or 'patch', not {config.model!r}")
