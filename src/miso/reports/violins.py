"""Violins of r by gene: one picture a board and gene set, a violin a model, the noise ceiling as a line."""

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from miso.reports.ceilings import NAME as CEILING
from miso.storage import write_path

COLORS = {"run": "#0072B2", "baseline": "#7F7F7F", "oracle": "#E69F00", "floor": "#BBBBBB"}
"""Told apart with any kind of colour vision (after Okabe and Ito)."""
CEILING_COLOR, INK = "#D55E00", "0.25"
DPI, WIDTH_IN, ROW_IN, HEAD_IN, FOOT_IN = 130, 9.0, 0.48, 0.85, 0.75
FEW = 60
"""Up to so many genes are drawn as points too."""
WIDTH = 0.8


def draw_violins(genes: pd.DataFrame, figures: pd.DataFrame, *, title: str, subtitle: str) -> Figure:
    """Draw the spread over genes.

    Parameters
    ----------
    genes
        r of each gene (rows) by model (columns), the ceiling among them where it is known.
    figures
        By model: kind, value, low, high.
    """
    models = [model for model in figures.sort_values("value", na_position="first").index if model != CEILING]
    height_in = HEAD_IN + FOOT_IN + ROW_IN * len(models)
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, facecolor="white")
    left, right = 0.22, 0.80
    axes = figure.add_axes((left, FOOT_IN / height_in, right - left, 1 - (HEAD_IN + FOOT_IN) / height_in))
    axes.axvline(0, color="0.6", lw=0.8, zorder=0)
    for at, model in enumerate(models):
        _violin(axes, at, genes[model].dropna().to_numpy(), COLORS[str(figures.loc[model, "kind"])])
        _mean(axes, at, figures.loc[model])
    ceiling = figures["value"].get(CEILING, np.nan)
    if np.isfinite(ceiling):
        _ceiling(axes, float(ceiling))
    axes.set_yticks(range(len(models)), [_label(model, figures) for model in models], parse_math=False)
    axes.set(ylim=(-0.65, len(models) - 0.35))
    axes.set_xlabel("Pearson's r of a gene, mean over held-out sections", size=10)
    _dress(axes)
    figure.text(0.02, 1 - 0.18 / height_in, title, size=13, weight="bold", va="top", parse_math=False)
    figure.text(0.02, 1 - 0.46 / height_in, subtitle, size=9, color=INK, va="top", parse_math=False)
    return figure


def save(figure: Figure, out: Path) -> None:
    """Write a PNG, then rename it into place."""
    with write_path(out) as temporary:
        figure.savefig(temporary, format="png")


def _label(model: str, figures: pd.DataFrame) -> str:
    kind = str(figures.loc[model, "kind"])
    return f"{model} ({kind})" if kind in ("oracle", "floor") else model


def _violin(axes: Axes, at: float, values: np.ndarray, color: str) -> None:
    if not len(values):
        axes.text(0.01, at, "undefined for every gene", va="center", size=9, color=INK)
        return
    drawn = axes.violinplot(values, [at], orientation="horizontal", widths=WIDTH, showextrema=False)
    for body in cast("list[PolyCollection]", drawn["bodies"]):
        body.set(facecolor=color, edgecolor=color, alpha=0.45, linewidth=0.8)
    low, high = np.quantile(values, [0.25, 0.75])
    axes.plot([low, high], [at, at], color=color, lw=5, solid_capstyle="butt", alpha=0.9, zorder=2)
    if len(values) <= FEW:
        jitter = np.random.default_rng(0).uniform(-0.22, 0.22, len(values))
        axes.scatter(values, at + jitter, s=7, color=color, linewidths=0, alpha=0.9, zorder=3)


def _mean(axes: Axes, at: float, row: "pd.Series[float]") -> None:
    """Mark the mean over genes, and write it with its interval beside the panel."""
    if not np.isfinite(row["value"]):
        return
    axes.plot([row["low"], row["high"]], [at, at], color="black", lw=1.4, zorder=4)
    axes.plot(row["value"], at, "o", color="white", mec="black", mew=1.2, ms=5.5, zorder=5)
    value, low, high = (
        round(float(row[key]), 3) + 0.0 for key in ("value", "low", "high")
    )  # no negative zero
    text = f"{value:.3f}  [{low:.3f}, {high:.3f}]".replace("-", "−")
    axes.text(1.02, at, text, transform=axes.get_yaxis_transform(), va="center", size=9)


def _ceiling(axes: Axes, value: float) -> None:
    axes.axvline(value, color=CEILING_COLOR, lw=1.6, ls=(0, (5, 3)), zorder=1)
    axes.annotate(
        f"noise ceiling {value:.3f}",
        (value, 1),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        color=CEILING_COLOR,
        size=9,
        ha="center",
        va="bottom",
    )


def _dress(axes: Axes) -> None:
    axes.tick_params(labelsize=10, length=3, color=INK)
    axes.grid(axis="x", color="0.9", lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
