"""How a score is taken gene by gene: columns in blocks of bounded memory, what cannot be scored left NaN."""

from collections.abc import Callable
from functools import wraps

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from miso.errors import MisoError

Spots = Float[NDArray[np.float32], "spot gene"]
PerGene = Float[NDArray[np.float64], " gene"]
Columns = Float[NDArray[np.float64], "spot gene"]
Score = Callable[[Spots, Spots], PerGene]
BLOCK = 2**22
"""Values of a side that are held as float64 at once."""


def by_gene(score: Callable[[Columns, Columns], PerGene]) -> Score:
    """Make a score of finite float64 columns into one of any columns, and of any number of them.

    A gene with a value that is not finite on either side is NaN, and so is every gene where there is no spot.

    Raises
    ------
    MisoError
        If the two sides differ in shape.
    """

    @wraps(score)
    def scored(predicted: Spots, measured: Spots) -> PerGene:
        p, m = _same_shape(predicted, measured)
        result = np.full(p.shape[1], np.nan)
        width = max(1, BLOCK // max(1, len(p)))
        for start in range(0, p.shape[1] if len(p) else 0, width):
            block = slice(start, start + width)
            usable = np.isfinite(p[:, block]).all(axis=0) & np.isfinite(m[:, block]).all(axis=0)
            result[block][usable] = score(
                p[:, block][:, usable].astype(np.float64), m[:, block][:, usable].astype(np.float64)
            )
        return result

    return scored


def varies(values: Columns) -> Bool[NDArray[np.bool_], " gene"]:
    """Whether a gene's values differ by more than rounding: 1e-6 of the largest of them."""
    span = np.ptp(values, axis=0)
    largest = np.abs(values).max(axis=0, initial=0.0)
    return np.asarray((span > 1e-6 * largest) & (span > 0))


def quotient(above: PerGene, below: PerGene, where: Bool[NDArray[np.bool_], " gene"]) -> PerGene:
    """Divide where asked to; NaN elsewhere."""
    result = np.full(len(above), np.nan)
    np.divide(above, below, out=result, where=where)
    return result


def _same_shape(predicted: Spots, measured: Spots) -> tuple[Spots, Spots]:
    p, m = np.asarray(predicted), np.asarray(measured)
    if p.ndim != 2 or p.shape != m.shape:
        raise MisoError(
            f"a prediction of shape {p.shape} cannot be scored against a measurement of shape {m.shape}; "
            "both are spots × genes, of the same spots and genes"
        )
    return p, m
