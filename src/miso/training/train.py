"""Training a run from its configuration: teachers over spots, or students over patches."""

from typing import Any

from miso.errors import ConfigError
from miso.launch.progress import Track, silent
from miso.registry import unknown
from miso.samples import open_cohort
from miso.training import student, teacher
from miso.training.config import TrainConfig
from miso.training.device import choose_device
from miso.training.distill import taught_by
from miso.training.folds import train_student_fold, train_teacher_fold
from miso.training.losses import losses
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
    _check(config)
    if config.model == "miso":
        cohort = open_training_cohort(config)
        return run_folds(config, cohort, open_splits(config, cohort), train_teacher_fold, tell, track)
    if config.model == "patch":
        path = required(config.cohort.path, "cohort.path")
        samples = open_cohort(path, only=config.cohort.only).samples
        config, splits = taught_by(config, list(samples.values()))
        return run_folds(config, open_training_cohort(config), splits, train_student_fold, tell, track)
    raise ConfigError(f"model is 'miso' or 'patch', not {config.model!r}")


def _check(config: TrainConfig) -> None:
    """Refuse what is impossible before a run folder is begun."""
    recipes = student.RECIPES if config.model == "patch" else teacher.RECIPES
    if config.preset not in recipes:
        raise ConfigError(unknown("preset", config.preset, list(recipes)))
    for key, least in {"knn": 1, "n_repeats": 1, "max_epochs": 0}.items():
        value = getattr(config, key)
        if value is not None and value < least:
            raise ConfigError(f"{key} must be at least {least}, not {value}")
    if config.loss is not None:
        losses[config.loss]
        if config.model != "miso" or config.preset != "published":
            raise ConfigError(
                f"loss={config.loss} needs preset=published: the network of preset=default learns what a "
                "ridge misses, by its squared error, and a student its teachers' labels"
            )
    choose_device(config.device)
