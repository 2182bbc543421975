"""The figures of a board: each model's mean by gene set and metric, its interval, what was undefined."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from miso.reports.boards import Board
from miso.reports.ceilings import NAME as CEILING
from miso.reports.gene_sets import GeneSet
from miso.reports.runs import FinishedRun, read_prediction
from miso.samples.targets import target_values
from miso.scores.aggregate import benchmark_mean, pooled_pearson
from miso.scores.metrics import PerGene, metrics
from miso.scores.paired import Unit
from miso.scores.resample import resample

LEVEL = 0.95
POOLED = "pooled_pearson"
POOLED_MEANING = (
    "Pearson's r over the spots of all held-out sections put together, out of fold: it also rewards knowing "
    "which section has more of a gene, and is not comparable with pearson"
)
ORACLES, FLOORS = ("total-count",), ("permutation",)
BOUNDS = dict.fromkeys(("pearson", "spearman", "ssim"), (-1.0, 1.0)) | dict.fromkeys(
    ("auc_0", "auc_1", "auc_3", "jensen_shannon", "mutual_information"), (0.0, 1.0)
)
"""What a metric cannot go beyond, where an interval over few units would."""
TABLE = ["board", "target", "model", "kind", "gene_set", "metric", "better", "value", "low", "high"]
COUNTS = ["undefined", "of", "n_genes", "n_sections", "unit", "n_units"]


def unit_of(board: Board) -> Unit:
    """Return what is drawn for intervals and tests: patients where several were held out, else sections."""
    return "patient" if len(board.tested_patients) > 1 else "sample"


def score_board(board: Board, gene_sets: Sequence[GeneSet], ceiling: pd.DataFrame | None) -> pd.DataFrame:
    """Return one row a model, gene set and metric.

    `value` is the benchmark's mean (sections of a fold, folds, repeats, genes); `low` and `high` bound 95 %
    of a bootstrap over units, laid about it; `undefined` of `of` values are NaN and in no mean.
    """
    values = board.values if ceiling is None else pd.concat([board.values, ceiling], ignore_index=True)
    better = {name: metrics[name].better for name in metrics}
    pooled = {run.name: _pooled_r(board, run) for run in board.runs}
    rows: list[dict[str, object]] = []
    for gene_set in gene_sets:
        rows += _of_set(board, gene_set, gene_set.pick_to_average(values), better)
        rows += [_pooled_row(board, gene_set, run, pooled[run.name]) for run in board.runs]
    table = pd.DataFrame(rows)
    table[["board", "target"]] = board.name, board.target.name
    return table[[*TABLE, *COUNTS]]


def kind_of(board: Board, model: str) -> str:
    """Say what a model is: a run, the ceiling, an oracle, the floor, or a baseline."""
    own = model.split(" (")[0]
    if model in board.run_names:
        return "run"
    return {CEILING: "ceiling"}.get(own) or (
        "oracle" if own in ORACLES else "floor" if own in FLOORS else "baseline"
    )


def _of_set(
    board: Board, gene_set: GeneSet, values: pd.DataFrame, better: Mapping[str, str]
) -> Iterator[dict[str, object]]:
    for metric in sorted(values["metric"].unique(), key=lambda name: (name != "pearson", name)):
        rows = values[values["metric"] == metric]
        means = benchmark_mean(rows)
        counted = means[["undefined", "of", "n_sections"]].astype(int)
        for model in [name for name in [*board.models, CEILING] if name in means.index]:
            mean = float(means["mean"][model])
            *ends, n_units = interval(rows[rows["model"] == model], unit_of(board), mean)
            low, high = np.clip(ends, *BOUNDS.get(metric, (-np.inf, np.inf)))
            yield {
                "model": model,
                "kind": kind_of(board, model),
                "gene_set": gene_set.name,
                "metric": metric,
                "better": better.get(metric, ""),
                "value": mean,
                "low": float(low),
                "high": float(high),
                **{str(key): int(count) for key, count in counted.loc[model].items()},
                "n_genes": len(gene_set.genes),
                "unit": unit_of(board),
                "n_units": n_units,
            }


def interval(rows: pd.DataFrame, unit: Unit, mean: float) -> tuple[float, float, int]:
    """Return the ends of the bootstrap interval of a model's mean, laid about `mean`, and the units drawn."""
    sections = rows.groupby(list(dict.fromkeys([unit, "sample", "gene"])), observed=True)["value"].mean()
    table = sections.groupby([unit, "gene"], observed=True).mean().unstack("gene").to_numpy(float)
    there = np.isfinite(table)
    table, there = (x[there.any(axis=1)][:, there.any(axis=0)] for x in (table, there))
    if not there.size:
        return np.nan, np.nan, 0
    found = resample(np.nan_to_num(table), np.zeros_like(table), there, genes_too=True, level=LEVEL, seed=0)
    low, high = (mean + end - found.difference for end in found.interval)
    return low, high, len(table)


def _pooled_r(board: Board, run: FinishedRun) -> PerGene:
    """Return the pooled r of a run's first repeat."""
    measured = {n: target_values(run.cohort.samples[n], board.target, board.genes) for n in run.tested}
    return pooled_pearson({name: read_prediction(run, name) for name in run.tested}, measured)


def _pooled_row(board: Board, gene_set: GeneSet, run: FinishedRun, r: PerGene) -> dict[str, object]:
    """Average the pooled r over the genes that a set has in any fold."""
    chosen = r[[board.genes.index(gene) for gene in gene_set.genes]]
    defined = int(np.isfinite(chosen).sum())
    return {
        "model": run.name,
        "kind": "run",
        "gene_set": gene_set.name,
        "metric": POOLED,
        "better": "high",
        "value": float(np.nanmean(chosen)) if defined else np.nan,
        "low": np.nan,
        "high": np.nan,
        "undefined": len(chosen) - defined,
        "of": len(chosen),
        "n_genes": len(chosen),
        "n_sections": len(run.tested),
        "unit": "spot",
        "n_units": sum(len(board.samples[name].adata) for name in run.tested),
    }


def by_section(board: Board) -> pd.DataFrame:
    """Return the mean over all genes of each held-out section's r: a row a section, a column a model."""
    r = board.values[board.values["metric"] == "pearson"]
    wide = r.groupby(["fold", "sample", "patient", "model"], observed=True)["value"].mean().unstack("model")
    wide = wide[board.models].reset_index()
    wide.insert(3, "spots", [len(board.samples[name].adata) for name in wide["sample"]])
    return wide
