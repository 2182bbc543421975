"""From a gene's scores in sections to one figure a model: the benchmark's order, and what was undefined."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from miso.errors import MisoError
from miso.scores.columns import PerGene, Spots
from miso.scores.correlation import pearson


def gene_means(values: pd.DataFrame) -> pd.DataFrame:
    """Mean of each gene (rows) and model (columns): over sections of a fold, then folds, then repeats.

    That is the HER2ST benchmark's order (Wang C. et al., Nature Communications 2025); repeats are ours. NaN
    is left out of every mean; a gene that is undefined everywhere stays NaN.

    Parameters
    ----------
    values
        Tidy rows of one metric: repeat, fold, sample, model, gene, value.
    """
    require(values, ("repeat", "fold", "sample", "model", "gene", "value"))
    means = values.groupby(["model", "gene", "repeat", "fold"], observed=True)["value"].mean()
    for inner in (["model", "gene", "repeat"], ["model", "gene"]):
        means = means.groupby(inner, observed=True).mean()
    return means.unstack("model")


def benchmark_mean(values: pd.DataFrame) -> pd.DataFrame:
    """Mean over genes of `gene_means`, one row a model, in the order in which models first come.

    Returns
    -------
    DataFrame
        Columns `mean`; `undefined`, the number of values (gene, section, repeat) that are NaN and in no mean,
        and `of`, the number of all; `n_genes` with a mean and `n_sections`.
    """
    by_model = values.groupby("model", observed=True, sort=False)
    genes = gene_means(values)
    table = pd.DataFrame(
        {
            "mean": genes.mean(),
            "undefined": by_model["value"].agg(lambda value: int(value.isna().sum())),
            "of": by_model["value"].size(),
            "n_genes": genes.notna().sum(),
            "n_sections": by_model["sample"].nunique(),
        }
    )
    return table.loc[list(by_model.groups)]


def pooled_pearson(predicted: Mapping[str, Spots], measured: Mapping[str, Spots]) -> PerGene:
    """Pearson's r of each gene over the spots of all sections put together.

    Another measure than the mean of the sections' r, and never shown under its name: it also rewards knowing
    which section has more of a gene.

    Raises
    ------
    MisoError
        If the two sides are not of the same sections.
    """
    if not predicted or predicted.keys() != measured.keys():
        raise MisoError(
            f"predictions are of {', '.join(sorted(predicted)) or 'no section'} and measurements of "
            f"{', '.join(sorted(measured)) or 'no section'}; both must be of the same sections"
        )
    names = list(predicted)
    return pearson(
        np.concatenate([predicted[name] for name in names]),
        np.concatenate([measured[name] for name in names]),
    )


def require(values: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse a table that lacks a column, or mixes what cannot be averaged.

    Raises
    ------
    MisoError
        If a column is missing, or rows are of several metrics or targets.
    """
    missing = [column for column in columns if column not in values]
    if missing:
        raise MisoError(
            f"a table of scores lacks the column {missing[0]!r}; it has {', '.join(map(str, values.columns))}"
        )
    for column in ("metric", "target"):
        found = sorted(map(str, values[column].unique())) if column in values else []
        if len(found) > 1:
            raise MisoError(
                f"scores of one {column} can be averaged, and there are {', '.join(found)}; choose one first"
            )
