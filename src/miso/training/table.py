"""The tidy table of a run's metrics, and its summary; an undefined value stays NaN and is counted."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from miso.scores.metrics import pearson, rmse

COLUMNS = ["repeat", "fold", "sample", "model", "gene", "target", "metric", "value"]


def score_rows(
    predicted: Float[NDArray[np.float32], "spot gene"],
    measured: Float[NDArray[np.float32], "spot gene"],
    genes: list[str],
    **about: Any,
) -> pd.DataFrame:
    """Score one section: a row a gene and metric; `about` fills the other columns."""
    scores = {"pearson": pearson(predicted, measured), "rmse": rmse(predicted, measured)}
    parts = [
        pd.DataFrame({"gene": genes, "metric": metric, "value": values}) for metric, values in scores.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(**about)[COLUMNS]


def per_gene(table: pd.DataFrame, metric: str = "pearson") -> pd.DataFrame:
    """Mean of each gene and model: over sections of a fold, then folds, then repeats; NaN left out.

    That is the HER2ST benchmark's order (Wang et al., Nature Communications 2025).
    """
    values = table[table["metric"] == metric]
    means = values.groupby(["model", "gene", "repeat", "fold"], observed=True)["value"].mean()
    for inner in (["model", "gene", "repeat"], ["model", "gene"]):
        means = means.groupby(inner, observed=True).mean()
    return means.unstack("model")


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """For each model: mean r over genes, the same of each section, and how many values were undefined."""
    r = table[table["metric"] == "pearson"]
    genes = per_gene(table)
    summary: dict[str, Any] = {}
    for name, rows in r.groupby("model", observed=True, sort=False):
        by_sample = rows.groupby("sample", observed=True)["value"].mean()
        summary[str(name)] = {
            "pearson": _number(genes[name].mean()),
            "pearson_by_sample": {str(sample): _number(value) for sample, value in by_sample.items()},
            "undefined": int(rows["value"].isna().sum()),
            "of": len(rows),
        }
    return summary


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
