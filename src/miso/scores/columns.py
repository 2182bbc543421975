"""The sides of a section, spot × gene: in blocks of genes that fit the cache, with what was found of them."""

from collections.abc import Callable, Iterator
from typing import TypeVar, cast

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Spots = Float[NDArray[np.float32], "spot gene"]
PerGene = Float[NDArray[np.float64], " gene"]
Columns = Float[NDArray[np.float64], "spot gene"]
Genes = Bool[NDArray[np.bool_], " gene"]
Fact = TypeVar("Fact")
Found = dict[Callable[[Columns], object], object]
BLOCK = 2**17
"""Values of a side that are looked at at once: 1 MiB as float64."""


class Block:
    """Some genes of one side, and what was found of them so far.

    Attributes
    ----------
    finite
        Whether all values of a gene are.
    columns
        A gene's spots lie side by side in memory; a gene that is not finite is all 0.
    """

    def __init__(self, values: Spots, found: Found | None = None) -> None:
        columns = np.asfortranarray(values, dtype=np.float64)
        self.finite: Genes = np.asarray(np.isfinite(columns).all(axis=0))
        self.columns: Columns = columns if self.finite.all() else np.where(self.finite, columns, 0.0)
        self._found: Found = {} if found is None else found

    def of(self, fact: Callable[[Columns], Fact]) -> Fact:
        """Return a fact of the columns, worked out when it is first asked for."""
        if fact not in self._found:
            self._found[fact] = fact(self.columns)
        return cast("Fact", self._found[fact])


class Measured:
    """A section's measured side, which keeps what was found of it for the next prediction.

    That is about 6 bytes a value, once all of `miso.scores.metrics` were taken; the columns are not kept.

    Attributes
    ----------
    values
        What was measured, spot × gene.
    spots
        Whether a spot was measured at all: one that is NaN in every gene is left out of every score.
    """

    def __init__(self, values: Spots) -> None:
        self.values: Spots = np.asarray(values)
        self.spots: Bool[NDArray[np.bool_], " spot"] = np.asarray(~np.isnan(self.values).all(axis=1))
        self._found: dict[tuple[int, int | None], Found] = {}

    @classmethod
    def of(cls, values: "Spots | Measured") -> "Measured":
        """Return what was measured, with what is known of it if something is."""
        return values if isinstance(values, Measured) else cls(values)

    def rows(self, values: Spots) -> Spots:
        """Return the spots that were measured, of either side."""
        return values if self.spots.all() else values[self.spots]

    def block(self, genes: slice) -> Block:
        """Return some genes, with what was found of them when they were last asked for."""
        found = self._found.setdefault((genes.start, genes.stop), {})
        return Block(self.rows(self.values[:, genes]), found)

    def blocks(self) -> Iterator[slice]:
        """Cut the genes into blocks; none where no spot was measured."""
        spots, n = int(self.spots.sum()), self.values.shape[1]
        width = max(1, BLOCK // max(1, spots))
        for start in range(0, n if spots else 0, width):
            yield slice(start, min(start + width, n))


def varies(values: Columns) -> Genes:
    """Whether a gene's values differ by more than rounding: 1e-6 of the largest of them."""
    if not len(values):
        return np.zeros(values.shape[1], dtype=bool)
    least, most = values.min(axis=0), values.max(axis=0)
    span, largest = most - least, np.maximum(np.abs(least), np.abs(most))
    return np.asarray((span > 1e-6 * largest) & (span > 0))


def quotient(above: PerGene, below: PerGene, where: Genes) -> PerGene:
    """Divide where asked to; NaN elsewhere."""
    result = np.full(len(above), np.nan)
    np.divide(above, below, out=result, where=where)
    return result
