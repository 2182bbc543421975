"""What a model missed on sections that it has not learnt from, as quantiles; in the units of its target.

A section is not kept spot by spot: its spots are sorted by what was predicted, cut into equal parts, and of
each part the mean prediction and some quantiles of |measured - predicted| are kept. So a record is small, and
what is shared with a model holds no spot's counts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

PARTS = 6
"""Parts that a section's spots are cut into, by what was predicted."""
EDGES = (0.0, 0.2, 0.4, 0.52, 0.62, 0.72, 0.8, 0.86, 0.9, 0.94, 0.97, 1.0)
"""Bounds of the classes whose middle quantiles are kept: finest where intervals end."""
LEVELS = tuple((low + high) / 2 for low, high in pairwise(EDGES))
SHARES = tuple(high - low for low, high in pairwise(EDGES))
"""Share of the spots of a part that each quantile stands for."""
FEWEST = 4 * PARTS
"""A section with fewer spots with a value is left out."""
MOST = 4096
"""Of more spots so many stand for the section, spread evenly."""

Values = Float[NDArray[np.float32], "spot gene"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residuals:
    """Sections that a model did not learn from, and what it missed there.

    Attributes
    ----------
    sections
        Their names.
    spots
        Spots with a value.
    mean
        Mean prediction in each part; NaN for a gene that the section did not measure.
    missed
        Quantiles of |measured - predicted| in each part, at `LEVELS`.
    """

    sections: tuple[str, ...]
    spots: Int[NDArray[np.int64], " section"]
    mean: Float[NDArray[np.float32], "section part gene"]
    missed: Float[NDArray[np.float32], "section part level gene"]

    @classmethod
    def of_section(cls, name: str, predicted: Values, measured: Values) -> Self | None:
        """Record one section; None where too few spots have a value."""
        known = np.flatnonzero(~np.isnan(measured).all(axis=1))
        if len(known) < FEWEST:
            return None
        some = known[np.linspace(0, len(known) - 1, min(MOST, len(known))).astype(int)]
        predicted, measured = predicted[some], measured[some]
        order = np.argsort(predicted, axis=0, kind="stable")
        by_rank = np.take_along_axis(predicted, order, axis=0)
        missed = np.take_along_axis(np.abs(measured - predicted), order, axis=0)
        parts = np.array_split(np.arange(len(order)), PARTS)
        absent = np.where(np.isnan(missed).any(axis=0), np.float32(np.nan), np.float32(0))
        return cls(
            sections=(name,),
            spots=np.array([len(known)]),
            mean=np.stack([by_rank[rows].mean(axis=0) for rows in parts])[None] + absent,
            missed=np.stack([_quantiles(missed[rows]) for rows in parts])[None],
        )

    @classmethod
    def together(cls, records: Sequence[Self]) -> Self | None:
        """Put records of the same genes together; None of none."""
        if not records:
            return None
        return cls(
            sections=tuple(name for record in records for name in record.sections),
            spots=np.concatenate([record.spots for record in records]),
            mean=np.concatenate([record.mean for record in records]),
            missed=np.concatenate([record.missed for record in records]),
        )

    def without(self, names: Collection[str]) -> Self | None:
        """Leave some sections out; None if none stays."""
        kept = [index for index, name in enumerate(self.sections) if name not in names]
        if not kept:
            return None
        return replace(
            self,
            sections=tuple(self.sections[index] for index in kept),
            spots=self.spots[kept],
            mean=self.mean[kept],
            missed=self.missed[kept],
        )

    def renamed(self, called: Mapping[str, str]) -> Self:
        """Call the sections otherwise."""
        return replace(self, sections=tuple(called[name] for name in self.sections))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what it holds beside names."""
        return {"spots": self.spots, "mean": self.mean, "missed": self.missed}

    @classmethod
    def from_arrays(cls, sections: Sequence[str], arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """Put together what `arrays` took apart.

        Raises
        ------
        KeyError, ValueError
            If something lacks, or does not fit together.
        """
        spots, mean, missed = (np.asarray(arrays[name]) for name in ("spots", "mean", "missed"))
        if missed.ndim != 4 or mean.shape != (len(sections), PARTS, missed.shape[3]):
            raise ValueError(f"residuals of {len(sections)} sections have the shape {mean.shape}")
        if spots.shape != (len(sections),) or missed.shape[:3] != (len(sections), PARTS, len(LEVELS)):
            raise ValueError(f"residuals of {len(sections)} sections have the shape {missed.shape}")
        return cls(
            sections=tuple(sections),
            spots=spots.astype(np.int64),
            mean=mean.astype(np.float32),
            missed=missed.astype(np.float32),
        )


def _quantiles(missed: Values) -> Float[NDArray[np.float32], "level gene"]:
    """Return quantiles at `LEVELS`, each value being the middle of its 1/n of the spots."""
    return np.quantile(missed, LEVELS, axis=0, method="hazen").astype(np.float32)
