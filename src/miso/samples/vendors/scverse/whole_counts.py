"""Molecule counts in an AnnData's `layers`, `raw.X` or `X`; what was scaled and logged is counted back.

A spot's counts c are often kept as log(1 + s·c), with a factor s of its own. Then exp(x) − 1 is a whole
multiple of the spot's smallest value, which is taken for one molecule.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from miso.errors import SampleError

COUNT_LAYERS = ("counts", "raw_counts", "raw", "count")
"""Layers that tools keep counts in, the most telling name first."""
MAX_OFF = 1e-3
"""How far from a whole number a counted-back value may lie, beside the rounding of 32-bit numbers."""
ROUNDING = 2e-6
"""Relative error of exp(x) − 1 of 32-bit numbers, and of a quotient of two."""
UNITS = (1, 2, 3, 4)
"""Molecules that a spot's smallest value may stand for."""

LARGEST_LOG = 50.0
"""Logarithms of counts stay far below."""
MOST_MOLECULES = 1e9
"""No spot counts more of a gene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A matrix that may hold counts, its columns described by `var`; read when it is asked for."""

    name: str
    read: Callable[[], csr_matrix]
    var: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Counts, spot × gene, with the genes' table and what has to be said of them."""

    counts: csr_matrix
    var: pd.DataFrame
    notes: list[str]


def choose_counts(matrices: Sequence[Matrix], where: str) -> Counted:
    """Return the first matrix of whole numbers, or else the first that can be counted back.

    Raises
    ------
    SampleError
        If there is neither.
    """
    said: list[str] = []
    read: dict[str, csr_matrix] = {}
    for matrix in matrices:
        values = read[matrix.name] = _tidy(matrix.read())
        if is_counts(values):
            return Counted(counts=values, var=matrix.var, notes=_where_from(matrix.name, said))
        said.append(f"{matrix.name} {what_is_it(values)}")
    for matrix in matrices:
        counted = count_back(read[matrix.name])
        if counted is not None:
            counts, note = counted
            note = f"{matrix.name} holds {note}; {matrix.var.shape[0]} genes are left of those measured"
            return Counted(counts=counts, var=matrix.var, notes=[note])
    raise SampleError(
        f"{where} holds no counts: {'; '.join(said) or 'no matrix at all'}. Put the molecule counts into "
        "layers['counts'] and write it again"
    )


def is_counts(values: csr_matrix) -> bool:
    """Whether a matrix holds whole numbers from 0 on, and not only 0."""
    data = values.data
    if not data.size or not np.all(np.isfinite(data)) or data.min() < 0 or data.max() > MOST_MOLECULES:
        return False
    return bool(np.all(data == np.round(data)))


def what_is_it(values: csr_matrix) -> str:
    """Say why a matrix is no counts."""
    data = values.data
    if not data.size:
        return "is empty"
    if not np.all(np.isfinite(data)):
        return "has missing values"
    if data.min() < 0:
        return f"has negative values (down to {data.min():.3g}: scaled or centred)"
    if data.max() > MOST_MOLECULES:
        return f"has values up to {data.max():.3g}"
    return f"has fractions (like {data[data != np.round(data)][0]:.4g}: normalised)"


def count_back(values: csr_matrix) -> tuple[csr_matrix, str] | None:
    """Undo scaling (and the logarithm); None unless every value is a whole multiple of its spot's smallest.

    Returns
    -------
    Counts, and what the values were with the caveat.
    """
    data = values.data.astype(np.float64)
    if not data.size or not np.all(np.isfinite(data)) or data.min() <= 0:
        return None
    candidates = {"counts scaled per spot": data}
    if data.max() < LARGEST_LOG:
        candidates = {"log(1 + counts scaled per spot)": np.expm1(data), **candidates}
    for what, scaled in candidates.items():
        found = _multiples(scaled, values.indptr)
        if found is not None:
            return _worded(values, *found, what)
    return None


def _worded(
    values: csr_matrix,
    counts: Float[NDArray[np.float64], " value"],
    units: NDArray[np.int64],
    off: float,
    what: str,
) -> tuple[csr_matrix, str]:
    other = int((units > 1).sum())
    note = (
        f"{what}, counted back: every value is a whole multiple of its spot's smallest (to within {off:.1g} "
        f"of a count), which is taken for one molecule{f' (for more in {other} spots)' if other else ''}"
    )
    shape = values.shape
    return csr_matrix((counts.astype(np.float32), values.indices, values.indptr), shape=shape), note


def _multiples(
    values: Float[NDArray[np.float64], " value"], indptr: Int[NDArray[np.int32], " row"]
) -> tuple[Float[NDArray[np.float64], " value"], NDArray[np.int64], float] | None:
    """Divide each row by its smallest value; return whole numbers, the units, and the largest rounding."""
    rows = np.flatnonzero(np.diff(indptr))
    starts, lengths = indptr[rows], np.diff(indptr)[rows]
    ratio = values / np.repeat(np.minimum.reduceat(values, starts), lengths)
    slack = np.minimum(MAX_OFF + ROUNDING * ratio, 0.1)
    units = np.zeros(len(rows), dtype=np.int64)
    for unit in UNITS:
        off = np.abs(unit * ratio - np.round(unit * ratio)) / unit
        fits = np.maximum.reduceat(off - slack, starts) <= 0
        units[(units == 0) & fits] = unit
    if (units == 0).any():
        return None
    exact = ratio * np.repeat(units, lengths)
    return np.round(exact), units, float(np.abs(exact - np.round(exact)).max())


def _where_from(name: str, refused: list[str]) -> list[str]:
    if name == "X" and not refused:
        return []
    why = f" ({'; '.join(refused)})" if refused else ""
    return [f"counts are those of {name}{why}"]


def _tidy(values: csr_matrix) -> csr_matrix:
    values = values.copy()
    values.sum_duplicates()
    values.eliminate_zeros()
    return values
