"""Training a run from its configuration: teachers over spots, or students over patches, fold after fold."""

from typing import Any, get_args

from miso.errors import ConfigError
from miso.launch.memory import limit_memory
from miso.launch.progress import Track, silent
from miso.registry import unknown
from miso.samples import open_cohort
from miso.storage.fetched import cache_folder
from miso.storage.remote import is_url
from miso.training import student, teacher
from miso.training.config import TrainConfig
from miso.training.device import choose_device
from miso.training.distill import taught_by
from miso.training.folds import train_student_fold, train_teacher_fold
from miso.training.loop import Precision
from miso.training.losses import losses
from miso.training.run import Plan, Tell, open_splits, open_training_cohort, required
from miso.training.run_at_url import open_run
from miso.training.team import ALONE, Team

AT_LEAST = {"knn": 1, "n_repeats": 1, "max_epochs": 0, "patience": 1, "accumulate": 1}


def train(
    config: TrainConfig, tell: Tell = lambda line: None, track: Track = silent, team: Team = ALONE
) -> dict[str, Any]:
    """Train every fold of a run that is not done yet.

    Parameters
    ----------
    tell
        Called with a line about each fold.
    track
        Shows progress on epochs.
    team
        Processes that share the steps of every fold (`miso.training.team.join_team`).

    Returns
    -------
    dict
        The summary, as in `summary.json`; of a team, the lead's.

    Raises
    ------
    MisoError
        If the configuration, the cohort or the splits are at fault; nothing is written then.
    """
    limit_memory(config.how().memory)
    run = open_run(plan_of(config, team), tell, track, team)
    run.begin()
    run.train_all()
    return run.finish() if team.leads else {}


def plan_of(config: TrainConfig, team: Team = ALONE) -> Plan:
    """Open what a configuration names, and choose how its folds are trained.

    Raises
    ------
    MisoError
        If the configuration, the cohort or the splits are at fault.
    """
    _check(config, team)
    if config.model == "miso":
        cohort = open_training_cohort(config)
        splits = open_splits(config, cohort)
        return Plan(config=config, cohort=cohort, splits=splits, train_fold=train_teacher_fold)
    if config.model == "patch":
        path = required(config.cohort.path, "cohort.path")
        cache = cache_folder(config.cache)
        samples = open_cohort(path, only=config.cohort.only, labels=config.labels, cache=cache).samples
        config, splits = taught_by(config, list(samples.values()))
        cohort = open_training_cohort(config)
        return Plan(config=config, cohort=cohort, splits=splits, train_fold=train_student_fold)
    raise ConfigError(f"model is 'miso' or 'patch', not {config.model!r}")


def _check(config: TrainConfig, team: Team) -> None:
    """Refuse what is impossible before a run folder is begun."""
    lists = {
        "cohort.genes": config.cohort.genes,
        "splits": config.splits,
        "gene_weights": config.gene_weights,
    }
    for key, place in lists.items():
        if place is not None and is_url(place):
            raise ConfigError(
                f"{key}={place} is a URL; only cohort.path and run_dir may be one, pass the path of a copy"
            )
    recipes = student.RECIPES if config.model == "patch" else teacher.RECIPES
    if config.preset not in recipes:
        raise ConfigError(unknown("preset", config.preset, list(recipes)))
    for key, least in AT_LEAST.items():
        value = getattr(config, key)
        if value is not None and value < least:
            raise ConfigError(f"{key} must be at least {least}, not {value}")
    if config.max_epochs == 0 and (config.model, config.preset) != ("miso", "default"):
        raise ConfigError(
            "max_epochs=0 leaves nothing trained; only the teacher of preset=default can do without"
        )
    _check_loss(config)
    if config.precision not in get_args(Precision):
        raise ConfigError(unknown("precision", config.precision, list(get_args(Precision))))
    choose_device(config.device, team)


def _check_loss(config: TrainConfig) -> None:
    own = config.model == "miso" and config.preset == "published"
    if config.loss is not None:
        loss = losses[config.loss]
        if not own:
            raise ConfigError(
                f"loss={config.loss} needs preset=published: the network of preset=default learns what a "
                "ridge misses, by its squared error, and a student its teachers' labels"
            )
        if loss.counts and config.target != "raw":
            raise ConfigError(
                f"loss={config.loss} is of molecules and needs target=raw, not target={config.target}"
            )
    if config.gene_weights is not None and not own:
        raise ConfigError(
            "gene_weights needs preset=published: the ridge of preset=default predicts programs of all genes "
            "alike, and a student learns its teachers' labels; leave it out, or choose genes by cohort.genes"
        )
