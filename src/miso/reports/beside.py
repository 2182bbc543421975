"""Genes measured beside predicted on a held-out section: those with the best and the worst r."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from miso.reports.boards import Board
from miso.reports.picture import Picture, colored
from miso.reports.runs import read_prediction
from miso.reports.spot_picture import draw_spots
from miso.samples.targets import target_values
from miso.scores.aggregate import gene_means

EACH, MOST_RUNS = 3, 3
"""Best and worst genes that are drawn, and runs beside what was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Values of a gene at the spots of a section: who says so, the drawing, its limits, and r there."""

    title: str
    picture: Picture
    limits: tuple[float, float]
    r: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A gene: its rank ("best" or "worst"), mean r, and panels, what was measured first."""

    gene: str
    rank: str
    r: float
    panels: list[Panel]


def middle_section(board: Board) -> str:
    """Return the held-out section with the middle mean r of the first run: none is picked for its looks."""
    rows = board.values
    own = rows[(rows["metric"] == "pearson") & (rows["model"] == board.run_names[0])]
    means = own.groupby("sample", observed=True)["value"].mean().dropna().sort_values(kind="stable")
    return str(means.index[(len(means) - 1) // 2]) if len(means) else board.tested[0]


def best_and_worst(board: Board, section: str) -> list[Beside]:
    """Draw the genes with the highest and the lowest mean r of the first run; undefined ones are left out."""
    values = board.values[board.values["metric"] == "pearson"]
    first = values[values["model"] == board.run_names[0]]
    ranked = gene_means(first)[board.run_names[0]].dropna().sort_values(ascending=False, kind="stable")
    count = min(EACH, len(ranked) // 2)
    chosen = [("best", gene) for gene in ranked.index[:count]]
    chosen += [("worst", gene) for gene in ranked.index[len(ranked) - count :]]
    genes = [gene for _, gene in chosen]
    if not genes:
        return []
    planes = _planes(board, section, genes)
    there = values[values["sample"] == section].groupby(["model", "gene"], observed=True)["value"].mean()
    return [
        Beside(
            gene=gene,
            rank=rank,
            r=float(ranked[gene]),
            panels=_panels(board, section, gene, at, planes, there),
        )
        for at, (rank, gene) in enumerate(chosen)
    ]


def _planes(board: Board, section: str, genes: Sequence[str]) -> dict[str, Any]:
    """Return spot by gene what was measured, and what each run predicts."""
    columns = [board.genes.index(gene) for gene in genes]
    measured = target_values(board.samples[section], board.target, list(genes))
    predicted = {run.name: read_prediction(run, section)[:, columns] for run in board.runs[:MOST_RUNS]}
    return {"measured": measured, **predicted}


def _panels(
    board: Board, section: str, gene: str, at: int, planes: dict[str, Any], there: "pd.Series[float]"
) -> list[Panel]:
    sample = board.samples[section]
    panels = []
    for title, values in planes.items():
        colors, limits = colored(np.asarray(values[:, at], dtype=np.float64))
        picture = draw_spots(
            sample.adata.obsm["spatial"],
            sample.spot_diameter_um / sample.mpp,
            colors,
            mpp=sample.mpp,
            square=sample.square_spots,
            longest_px=360,
        )
        r = float(there[title, gene]) if (title, gene) in there.index else None
        panels.append(Panel(title=title, picture=picture, limits=limits, r=r))
    return panels
