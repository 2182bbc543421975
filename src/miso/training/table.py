"""The tidy table of a run's metrics, and its summary; an undefined value stays NaN and is counted."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from miso.scores.aggregate import benchmark_mean, gene_means
from miso.scores.columns import Measured, quotient
from miso.scores.metrics import pearson, score_all

COLUMNS = ["repeat", "fold", "sample", "model", "gene", "target", "metric", "value"]
Values = Float[NDArray[np.float32], "spot gene"]


def score_rows(
    predicted: Values,
    measured: Values | Measured,
    genes: list[str],
    *,
    counts: Values | Measured | None = None,
    further: Iterable[Values] = (),
    **about: Any,
) -> pd.DataFrame:
    """Score one section: a row a gene and metric; `about` fills the other columns.

    Parameters
    ----------
    measured
        The target that was predicted. As a `Measured`, what is found of it serves the next model, too.
    counts
        Molecules of the same genes. Without them, metrics on counts have no rows.
    further
        More draws of a prediction that chance is part of. r is the mean over all draws that have one; the
        other metrics are of the first draw alone, since ten draws of all of them would slow training.
    """
    given = {"target": measured, "counts": counts}
    sides = {on: Measured.of(side) for on, side in given.items() if side is not None}
    scores = score_all(predicted, sides)
    more = [pearson(draw, sides["target"]) for draw in further]  # one draw at a time is held
    if more:
        draws = np.stack([scores["pearson"], *more])
        defined = np.isfinite(draws)
        count = defined.sum(axis=0)
        scores["pearson"] = quotient(np.where(defined, draws, 0).sum(axis=0), count, count > 0)
    columns = {
        "gene": np.tile(np.array(genes, dtype=object), len(scores)),
        "metric": np.repeat(np.array(list(scores), dtype=object), len(genes)),
        "value": np.concatenate(list(scores.values())),
    }
    return pd.DataFrame(columns).assign(**about)[COLUMNS]


def per_gene(table: pd.DataFrame, metric: str = "pearson") -> pd.DataFrame:
    """Mean of each gene and model in the benchmark's order: see `miso.scores.aggregate.gene_means`."""
    return gene_means(table[table["metric"] == metric])


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """For each model: mean r over genes, the same of each section, and how many values were undefined."""
    r = table[table["metric"] == "pearson"]
    means = benchmark_mean(r)
    by_sample = r.groupby(["model", "sample"], observed=True)["value"].mean()
    return {
        model: {
            "pearson": _number(row["mean"]),
            "pearson_by_sample": {str(s): _number(value) for s, value in by_sample.loc[model].items()},
            "undefined": int(row["undefined"]),
            "of": int(row["of"]),
        }
        for model, row in zip(map(str, means.index), means.to_dict("records"), strict=True)
    }


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
