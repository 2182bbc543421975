"""Ranks of each gene's values over the spots of one section, from 1; equal values share their mean rank."""

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from miso.scores.columns import Columns

Ranks = Float[NDArray[np.floating], "spot gene"]
EXACT = 2**23
"""Up to so many spots, float32 holds every rank, halves included."""
BITS = np.uint64(32)


def ranks(values: Columns) -> Ranks:
    """Rank finite values; in float32 where that is exact."""
    spots, genes = values.shape
    kind: type[np.floating] = np.float32 if spots < EXACT else np.float64
    place, differs = _in_order(np.ascontiguousarray(values.T) + 0.0)  # −0 is 0
    starts = np.flatnonzero(differs)  # of runs of equal values, gene after gene
    lengths = np.diff(starts, append=values.size)
    mean = starts % max(spots, 1) + (lengths + 1) / 2
    found = np.empty(values.size, dtype=kind)
    found[place] = np.repeat(mean.astype(kind), lengths)
    return found.reshape(genes, spots).T


def _in_order(
    values: Float[NDArray[np.float64], "gene spot"],
) -> tuple[Int[NDArray[np.int64], " place"], Bool[NDArray[np.bool_], " place"]]:
    """Return where the values of each gene lie in ascending order, and whether one differs from the last.

    What float32 holds is sorted as a whole number: the value's bits above, in their order, and its place
    below. That takes half as long as to sort places by their values.
    """
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if not (single == values).all():
        order = np.argsort(values, axis=1)
        ascending = np.take_along_axis(values, order, axis=1)
        place = order + np.arange(len(values))[:, None] * values.shape[1]
        return place.ravel(), _differs(ascending)
    bits = single.view(np.uint32)
    flipped = (single.view(np.int32) >> 31).view(np.uint32) | np.uint32(2**31)  # negative ones wholly
    key = (bits ^ flipped).astype(np.uint64) << BITS
    key |= np.arange(values.size, dtype=np.uint64).reshape(values.shape)
    key.sort(axis=1)
    return key.ravel().astype(np.uint32).astype(np.int64), _differs(key >> BITS)


def _differs(ascending: NDArray[np.generic]) -> Bool[NDArray[np.bool_], " place"]:
    found = np.ones(ascending.shape, dtype=bool)
    np.not_equal(ascending[:, 1:], ascending[:, :-1], out=found[:, 1:])
    return found.ravel()
