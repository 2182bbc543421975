"""The loss on one section: what a step of a teacher learns from."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from miso.models.miso import MisoModel, standardized
from miso.models.neighborhood import blocks_of
from miso.training.losses import Loss, PerGene, mean_loss
from miso.training.sections import Section

SPOTS_KEPT = 10_000_000
"""Blocks and goals of sections of so many spots are kept (about 160 and 128 bytes a spot); others are made
anew at each visit."""
T = TypeVar("T")
OfSection = Callable[[int, Section], T]
"""Makes something of a section, given its number too."""
Goal = OfSection[Float[Tensor, "spot output"]]
"""What the network is to say of a section."""


def section_loss(
    model: MisoModel, sections: Sequence[Section], goal: Goal, loss: Loss, weights: PerGene | None
) -> Callable[[int], Tensor]:
    """Return the loss on a section, by its number.

    The members of the model are trained side by side, each on its own loss. Spots without a value are seen
    by their neighbours and teach nothing.
    """
    average = mean_total(sections) if loss.counts else None
    blocks = kept(lambda index, section: blocks_of(section.neighbors[:, : model.config.attend]))

    def loss_of(index: int) -> Tensor:
        section = sections[index]
        near, known = blocks(index, section), section.spots
        measured = goal(index, section)[known]
        exposure = section.total[known] / average if average else measured.new_ones(len(measured))
        x = standardized(section.features) if model.config.standardize else section.features
        outputs = [model.value(network(x, near).float())[known] for network in model.networks]
        return torch.stack([mean_loss(loss, out, measured, exposure, weights) for out in outputs]).sum()

    return loss_of


def kept(make: OfSection[T]) -> OfSection[T]:
    """Keep what is made of the sections that come first, up to `SPOTS_KEPT` spots in all."""
    found: dict[int, T] = {}
    spots = 0

    def get(index: int, section: Section) -> T:
        nonlocal spots
        if index in found:
            return found[index]
        made = make(index, section)
        if spots + len(section.features) <= SPOTS_KEPT:
            spots += len(section.features)
            found[index] = made
        return made

    return get


def mean_total(sections: Sequence[Section]) -> float:
    """Mean library size of the spots to learn from."""
    total, spots = 0.0, 0
    for section in sections:
        known = section.total[section.spots]
        total, spots = total + float(known.sum()), spots + len(known)
    return total / spots


def mean_rate(sections: Sequence[Section]) -> Float[Tensor, " gene"]:
    """Molecules of each gene in a spot of mean library size, over the sections that measured it."""
    counts = torch.zeros_like(sections[0].y[0])
    totals = torch.zeros_like(counts)
    for section in sections:
        counts += section.y.nan_to_num().sum(0)
        totals += section.total[section.spots].sum() * section.measured
    return counts / totals.clamp(min=1) * mean_total(sections)
