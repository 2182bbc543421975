"""Means of the targets over sections, and their spreads within them, in the target's units."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from miso.training.sections import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What a pass over sections finds of their targets.

    Attributes
    ----------
    mean
        Over the spots that have a value; 0 where none has.
    scale
        Spread about the sections' own means.
    spots, measured
        Of each section: how many spots, and which genes.
    """

    mean: Float[Tensor, " gene"]
    scale: Float[Tensor, " gene"]
    spots: Float[Tensor, " section"]
    measured: Bool[Tensor, "section gene"]

    def scaled(self, section: Section) -> Float[Tensor, "spot gene"]:
        """Return a section's targets about their means there, each gene scaled; 0 where one lacks."""
        return _centred(section).div_(self.scale)


def levels_of(sections: Iterable[Section]) -> Levels:
    """Pass over sections."""
    total = count = square = torch.zeros(1, dtype=torch.float64)
    spots, measured = [], []
    for section in sections:
        y = section.y.cpu()
        total, count = total + y.nansum(0, dtype=torch.float64), count + (~y.isnan()).sum(0)
        square = square + _centred(section).square_().sum(0)
        spots.append(float(len(y[section.spots])))
        measured.append(section.measured.cpu())
    of_each, there = torch.tensor(spots, dtype=torch.float64), torch.stack(measured)
    degrees = (of_each @ there.double() - 1).clamp(min=1)
    return Levels(
        mean=total / count.clamp(min=1),
        scale=(square / degrees).sqrt().clamp(min=1e-6),
        spots=of_each,
        measured=there,
    )


def _centred(section: Section) -> Float[Tensor, "spot gene"]:
    y = section.y.to("cpu", torch.float64, copy=True)
    y -= y[section.spots].mean(0)
    return y.nan_to_num_()
