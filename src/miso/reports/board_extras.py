"""What the page of a benchmark shows of a board beside its scores: sections, training, genes, uncertainty."""

from typing import Any

import pandas as pd

from miso.models.calibration import LEVEL, LEVELS
from miso.reports.benchmark import BoardResult
from miso.reports.beside import best_and_worst, middle_section
from miso.reports.boards import Board
from miso.reports.ceilings import NAME as CEILING
from miso.reports.checkpoints import chosen_in_training, curves_of
from miso.reports.curves import draw_curves
from miso.reports.figures import kind_of
from miso.reports.picture import ramp
from miso.reports.runs import FinishedRun
from miso.reports.section import look_at
from miso.reports.uncertainty import Uncertainty, uncertainty
from miso.scores.aggregate import gene_means

MOST_GENES = 2000
"""Rows of the table of genes; the rest is in metrics.parquet."""
Rows = list[dict[str, Any]]


def extras(result: BoardResult) -> dict[str, Any]:
    """Return what `benchmark.html` shows of a board beside its figures.

    Raises
    ------
    CheckpointError
        If what a run keeps is damaged.
    """
    board = result.board
    section = middle_section(board)
    known = {run.name: uncertainty(run) for run in board.runs}
    table = gene_table(result, known)
    return {
        "cohort": [look_at(sample) for sample in board.samples.values()],
        "beside": best_and_worst(board, section),
        "beside_section": section,
        "ramp": ramp(),
        "genes": table[:MOST_GENES],
        "gene_models": [name for name in board.run_names if table and name in table[0]["r"]],
        "gene_baseline": best_baseline(board),
        "training": [_training(run) for run in board.runs],
        "uncertainty": [_uncertainty(name, found) for name, found in known.items()],
        "levels": [f"{level:g}" for level in LEVELS],
        "level": LEVEL,
    }


def best_baseline(board: Board) -> str | None:
    """Return the baseline with the best mean r; None where there is none."""
    return next((model for model in board.models if kind_of(board, model) == "baseline"), None)


def gene_table(result: BoardResult, known: dict[str, Uncertainty | None]) -> Rows:
    """Return a row a gene, best first: r of runs and of the best baseline, noise ceiling, half-width."""
    board = result.board
    values = board.values if result.ceiling is None else pd.concat([board.values, result.ceiling])
    r = gene_means(values[values["metric"] == "pearson"].reset_index(drop=True))
    baseline = best_baseline(board)
    first = board.run_names[0]
    half = next((found.half for found in known.values() if found is not None), None)
    ranked = r.sort_values(first, ascending=False, na_position="last", kind="stable")
    return [
        {
            "gene": str(gene),
            "r": {name: row.get(name) for name in board.run_names},
            "baseline": row.get(baseline) if baseline else None,
            "ceiling": row.get(CEILING),
            "half": None if half is None else half.get(gene),
        }
        for gene, row in ranked.iterrows()
    ]


def _training(run: FinishedRun) -> dict[str, Any]:
    rows = chosen_in_training(run)
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in ("repeat", "fold", "test")))
    curves = {title: draw_curves(title, lines) for title, lines in curves_of(run).items()}
    return {"run": run.name, "rows": rows, "columns": columns, "curves": curves}


def _uncertainty(name: str, found: Uncertainty | None) -> dict[str, Any]:
    if found is None:
        return {"run": name, "rows": [], "by": ""}
    return {"run": name, "rows": found.coverage.to_dict("records"), "by": found.by}
