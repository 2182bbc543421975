"""Whether one model beats another on the same sections: the difference, its interval, and an exact test.

Values of two models are compared where both are defined, gene by gene and section by section. Then the mean
is taken over units (sections or patients), and over genes: the benchmark's order, where folds hold equally
many sections.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import MisoError
from miso.registry import unknown
from miso.scores.aggregate import require
from miso.scores.resample import resample, sign_flip_p

Unit = Literal["sample", "patient", "gene"]
Table = Float[NDArray[np.float64], "unit gene"]
NOUNS = {"sample": "section", "patient": "patient", "gene": "gene"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much higher a model scores than another one, in the metric's units and relative to the other.

    Attributes
    ----------
    mean, low, high
        Model minus the other, and its interval.
    p, least_p
        Two-sided sign-flip test over units, and the smallest p that so many units can give: 2 / 2ⁿ, so 1/8
        with four sections, which can therefore never pass 0.05.
    relative, relative_low, relative_high
        Model / other − 1; NaN where the other's mean is not above 0, the interval where it may not be.
    n_units, unit, n_genes
        Units and genes compared.
    left_out
        Pairs (unit, gene) where either model was undefined, and of how many.
    caveat
        One sentence: what the interval speaks for, and what it does not.
    """

    mean: float
    low: float
    high: float
    p: float
    relative: float
    relative_low: float
    relative_high: float
    n_units: int
    unit: Unit
    n_genes: int
    least_p: float
    left_out: int
    of: int
    caveat: str


def paired_difference(
    values: pd.DataFrame,
    model: str,
    against: str,
    *,
    unit: Unit = "sample",
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare two models on the units that both were scored on.

    The interval is a cluster bootstrap: units are drawn with replacement, each with all its genes (with
    fewer than six units, genes are drawn too). See `miso.scores.resample` for its width.

    Parameters
    ----------
    values
        Tidy rows of one metric and target: model, gene, sample, value, with patient if that is the unit;
        repeats of a section, and sections of a patient, are averaged first.
    unit
        What is taken for independent. Sections of one patient are not independent of each other: where
        there are several patients, they are the honest unit.

    Raises
    ------
    MisoError
        If a model or a column is not there, or nothing was scored for both models.
    """
    mine, other = _tables(values, model, against, unit)
    both = np.isfinite(mine) & np.isfinite(other)
    if not both.any():
        raise MisoError(f"no gene and {NOUNS[unit]} has a defined score of both {model!r} and {against!r}")
    kept = np.ix_(both.any(axis=1), both.any(axis=0))
    mine, other, valid = mine[kept], other[kept], both[kept]
    found = resample(mine, other, valid, genes_too=unit != "gene", level=level, seed=seed)
    p, least_p = sign_flip_p(np.where(valid, mine - other, np.nan), seed)
    n_units, n_columns = valid.shape
    return Difference(
        mean=found.difference,
        low=found.interval[0],
        high=found.interval[1],
        p=p,
        relative=found.relative,
        relative_low=found.relative_interval[0],
        relative_high=found.relative_interval[1],
        n_units=n_units,
        unit=unit,
        n_genes=n_units if unit == "gene" else n_columns,
        least_p=least_p,
        left_out=int(both.size - both.sum()),
        of=both.size,
        caveat=_caveat(unit, n_units, least_p, found.genes_drawn),
    )


def _tables(values: pd.DataFrame, model: str, against: str, unit: Unit) -> tuple[Table, Table]:
    """Return both models' scores, unit × gene, of the units and genes that both have; NaN where missing.

    With genes as units, the columns are sections.
    """
    require(values, dict.fromkeys(("model", "gene", "sample", unit, "value")))
    names = sorted(map(str, values["model"].unique()))
    for name in (model, against):
        if name not in names:
            raise MisoError(unknown("model", name, names))
    mine, other = (_table(values[values["model"] == name], unit) for name in (model, against))
    units, columns = mine.index.intersection(other.index), mine.columns.intersection(other.columns)
    both = [
        table.reindex(index=units.sort_values(), columns=columns.sort_values()) for table in (mine, other)
    ]
    return both[0].to_numpy(dtype=np.float64), both[1].to_numpy(dtype=np.float64)


def _table(rows: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """Average repeats of a section, then sections of a patient."""
    columns = "sample" if unit == "gene" else "gene"
    sections = rows.groupby(list(dict.fromkeys([unit, "sample", "gene"])), observed=True)["value"].mean()
    return sections.groupby([unit, columns], observed=True).mean().unstack(columns)


def _caveat(unit: Unit, n_units: int, least_p: float, genes_drawn: bool) -> str:
    noun = NOUNS[unit]
    if unit == "gene":
        return "genes are the unit: it speaks for other genes of these sections, for no other section"
    if n_units == 1:
        return (
            f"one {noun}: the interval is over genes alone and speaks for no other {noun}; "
            "no test is possible (p = 1)"
        )
    drawn = f"{n_units} {noun}s{' and the genes' if genes_drawn else ''} drawn"
    reach = {
        "sample": "it speaks for further sections of these patients, for no other patient",
        "patient": "it speaks for patients like these",
    }[unit]
    return f"{drawn}, the least possible p is {least_p:.3g}; {reach}"
