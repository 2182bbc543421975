"""How far each gene can be trusted: its cross-validated Pearson r, and the grade that follows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from miso.errors import CheckpointError

GRADES: tuple[tuple[str, float], ...] = (("A", 0.5), ("B", 0.3), ("C", 0.1))
"""Least `r_low` of each grade; what is below all of them is D."""
UNTESTED = "untested"
"""No r: the gene was never held out, or its r is undefined in more than half of the sections that were."""
COLUMNS = ["r_cv", "r_low", "sections", "ceiling", "grade"]
CEILING = "noise ceiling"
"""The model of a benchmark's table whose r is what noise in the counts allows."""


def reliability(scores: pd.DataFrame, genes: Sequence[str], model: str) -> pd.DataFrame:
    """Grade genes by a run's out-of-fold scores.

    `r_cv` is the mean of Pearson's r over the sections of a fold, then folds, then repeats (the order of Wang
    et al., Nature Communications 2025). `r_low` is `r_cv` less its standard error over held-out sections, and
    decides the grade: A from 0.5, B from 0.3, C from 0.1, else D. One section has no standard error: `r_low`
    is NaN there, `r_cv` decides, and the grade is C at best.

    Parameters
    ----------
    scores
        A run's `metrics.parquet`: repeat, fold, sample, model, gene, metric, value.
    model
        Whose scores count, of those in the table.

    Returns
    -------
    A row a gene, in the order of `genes`: the columns are `COLUMNS`, NaN and "untested" where nothing is
    known.
    """
    r = scores[(scores["metric"] == "pearson") & (scores["model"] == model)]
    means = r.groupby(["gene", "repeat", "fold"])["value"].mean()
    r_cv = means.groupby(["gene", "repeat"]).mean().groupby("gene").mean()
    sections = r.groupby(["gene", "sample"])["value"].mean().groupby("gene")
    defined = sections.count()
    error: pd.Series = sections.std(ddof=1) / np.sqrt(defined)
    table = pd.DataFrame(
        {
            "r_cv": r_cv.where(defined >= sections.size() / 2),
            "r_low": r_cv - error,
            "sections": defined,
            "ceiling": np.nan,
        }
    ).reindex(pd.Index(genes, dtype=str))
    table["sections"] = table["sections"].fillna(0).astype(int)
    return _graded(table)


def untested(genes: Sequence[str]) -> pd.DataFrame:
    """Return the table of genes of which nothing is known."""
    index = pd.Index(genes, dtype=str)
    return _graded(
        pd.DataFrame({"r_cv": np.nan, "r_low": np.nan, "sections": 0, "ceiling": np.nan}, index=index)
    )


def read_reliability(file: Path, genes: Sequence[str], model: str) -> pd.DataFrame:
    """Grade genes by a run's or a fold's `metrics.parquet`; untested where there is none.

    Raises
    ------
    CheckpointError
        If the table is damaged.
    """
    if not file.is_file():
        return untested(genes)
    try:
        return reliability(pd.read_parquet(file), genes, model)
    except (OSError, ValueError, KeyError, TypeError) as err:  # pyarrow's errors are among these
        said = " ".join(str(err).split())[:120]
        raise CheckpointError(f"{file} is damaged ({said}); remove it, and run miso train again") from err


def with_ceiling(table: pd.DataFrame, file: Path, target: str) -> pd.DataFrame:
    """Put each gene's noise ceiling beside its r: the mean over sections of a benchmark's `ceiling.parquet`.

    Raises
    ------
    CheckpointError
        If there is no such table, it is damaged, or it is about another target.
    """
    try:
        rows = pd.read_parquet(file)
        rows = rows[(rows["model"] == CEILING) & (rows["target"] == target)]
        ceiling = rows.groupby("gene")["value"].mean()
    except (OSError, ValueError, KeyError, TypeError) as err:
        said = " ".join(str(err).split())[:120]
        raise CheckpointError(f"no noise ceilings in {file} ({said}); miso benchmark writes them") from err
    if not len(ceiling):
        raise CheckpointError(f"{file} has no noise ceilings of the target {target!r}")
    return table.assign(ceiling=ceiling.reindex(table.index))


def as_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the table as JSON; what is not known is null."""
    records = table.reset_index(names="gene").to_dict("records")
    return [{str(key): None if value != value else value for key, value in row.items()} for row in records]


def from_records(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Read what `as_records` wrote; grades follow from the numbers and are not taken on trust.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is something else.
    """
    table = pd.DataFrame(
        {name: [row[name] for row in records] for name in ("r_cv", "r_low", "sections", "ceiling")},
        index=pd.Index([str(row["gene"]) for row in records], dtype=str),
    )
    return _graded(table.astype({"r_cv": float, "r_low": float, "sections": int, "ceiling": float}))


def _graded(table: pd.DataFrame) -> pd.DataFrame:
    deciding = table["r_low"].where(table["sections"] > 1, table["r_cv"].clip(upper=GRADES[-1][1]))
    grade = pd.Series("D", index=table.index)
    for letter, least in reversed(GRADES):
        grade = grade.mask(deciding >= least, letter)
    return table.assign(grade=grade.mask(table["r_cv"].isna(), UNTESTED))[COLUMNS]
