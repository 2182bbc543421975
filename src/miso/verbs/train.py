"""`miso train`: a cross-validated run from a Hydra configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miso.verbs import console

if TYPE_CHECKING:
    from miso.training.config import TrainConfig

NAME = "train"


def command(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, e.g. cohort.path=her2st/processed_data."),
    ] = None,
    config_name: Annotated[
        str, typer.Option("--config-name", help="train_her2st, train_10x, distil, or a file of --config-dir.")
    ] = "train_her2st",
    config_dir: Annotated[
        Path | None, typer.Option("--config-dir", help="A folder of your own configurations.")
    ] = None,
) -> None:
    """Train with cross-validation: teachers over spots, or (distil) students over patches.

    Keys: cohort.path, cohort.genes, cohort.also, cohort.missing (error|drop|mask), cohort.only, splits (JSON
    file, her2st_folds, leave_one_sample_out, leave_one_patient_out), target (raw|log1p|log1p_cp10k|a table),
    preset (default|published), loss and gene_weights (of published), seed, n_repeats, max_epochs, patience,
    accumulate, precision (auto|float32|bfloat16), knn, device, baselines, labels, run_dir; and of where the
    folds run: launch (local|ray), workers, address, cpus, gpus, memory, deadline, retries, cache.

    The run folder gets config.yaml, splits.json, metrics.parquet, summary.json, out-of-fold predictions and
    one checkpoint a fold. The same command goes on after an interruption.

    cohort.path and run_dir may be URLs (s3://…): Samples are fetched into `cache` and stay there, a fold is
    published when it is done, and any machine goes on from those.

    workers=4 trains four folds at once, each in a process of its own; launch=ray does so on a cluster.
    `torchrun --nproc-per-node 4 -m miso train …` trains each fold on four CUDA devices at once.

    Example: `miso train --config-name train_her2st cohort.path=her2st/processed_data
    splits=leave_one_sample_out run_dir=runs/c`
    """
    from miso.training import train
    from miso.training.team import join_team
    from miso.verbs._config import read_config

    config = read_config(config_name, overrides or [], config_dir)
    if config.how().apart:
        _train_apart(config)
        return
    with join_team() as team:
        summary = train(config, console.tell, console.track, team)
        if team.leads:
            target = config.target if config.model == "miso" else "the teachers' target"
            show_summary(summary, target, str(config.run_dir))


def _train_apart(config: "TrainConfig") -> None:
    from miso.training.launched import train_on_workers
    from miso.verbs._batch import keep_report, report_place, teller

    summary, report = train_on_workers(config, console.tell, teller(0))
    run_dir = str(config.run_dir)
    folder, before = report_place(run_dir, NAME)
    keep_report(report, folder, None, "folds", before)
    if report.exit_code:
        raise typer.Exit(report.exit_code)
    show_summary(summary, config.target if config.model == "miso" else "the teachers' target", run_dir)


def show_summary(summary: dict[str, dict[str, object]], target: str, run_dir: str) -> None:
    """Print a run's table: mean over genes of the per-section r, by model, and by section."""
    if not summary:
        console.tell(f"nothing was held out, so there is nothing to score; the checkpoints are in {run_dir}")
        return
    samples = sorted({name for row in summary.values() for name in row["pearson_by_sample"]})  # type: ignore[attr-defined]
    shown = samples if len(samples) <= 8 else []
    rows = [
        (
            name,
            console.number(row["pearson"]),  # type: ignore[arg-type]
            *(console.number(row["pearson_by_sample"].get(sample)) for sample in shown),  # type: ignore[attr-defined]
            f"{row['undefined']}/{row['of']}",
        )
        for name, row in summary.items()
    ]
    console.show_table(
        f"held-out Pearson r, mean over genes, per section ({target})",
        ["model", "r", *shown, "undefined"],
        rows,
    )
    console.tell(f"run folder: {run_dir}")
