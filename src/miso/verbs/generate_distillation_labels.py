"""`miso generate-distillation-labels`: pseudo-labels of a trained run, written into its Samples."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import console

NAME = "generate-distillation-labels"


def command(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="The settings that `miso train` was given."),
    ] = None,
    config_name: Annotated[
        str, typer.Option("--config-name", help="The teachers' configuration.")
    ] = "train_her2st",
    config_dir: Annotated[
        Path | None, typer.Option("--config-dir", help="A folder of your own configurations.")
    ] = None,
) -> None:
    """Let a run's teachers label the spots of the Samples they were trained with.

    Reads the teachers from run_dir and writes the label set `labels` (pseudolabels) into each Sample.
    Leak-free: the labels of fold f come from the teacher of fold f, and a section held out there gets none.
    teachers=all takes the mean over all folds, as published, and marks the labels as such. Where cohort.path
    is a URL, label sets are published there, in `.labels/SAMPLE/NAME`.

    Example: `miso generate-distillation-labels cohort.path=her2st/processed_data run_dir=runs/c`
    """
    from miso.samples import open_cohort
    from miso.storage.fetched import cache_folder
    from miso.training.distill import generate_labels
    from miso.training.run import required
    from miso.verbs._config import read_config

    config = read_config(config_name, overrides or [], config_dir)
    cohort = open_cohort(
        required(config.cohort.path, "cohort.path"),
        only=config.cohort.only,
        labels=config.labels,
        cache=cache_folder(config.cache),
    )
    for note in cohort.notes:
        console.tell(note)
    written = generate_labels(config, cohort, console.track)
    arrays = sum(len(labels.folds) for labels in written)
    console.tell(
        f"label set {config.labels!r}: {arrays} arrays (a sample and fold each) in {len(written)} samples, "
        f"{len(written[0].genes)} genes, {written[0].units}"
    )
