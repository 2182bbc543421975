"""How much of its networks a model adds to each program: what they have proven on sections left out.

What the linear part misses of a program is what the networks learn. They are trained without some sections
and asked about those, as each program's ridge was: a program takes as much of them as served it best there,
and nothing where that may be chance. So few sections get a linear model, and more data more network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from miso.models.miso import MisoModel
from miso.training.loop import HERE, Host, Plan, train_epochs
from miso.training.program_ridge import parts_of
from miso.training.section_loss import Goal
from miso.training.sections import Section, names_and_patients
from miso.training.shrinkage import best_factor
from miso.training.snapshot import Best

ENOUGH = 5
"""Validation patients that are left out, all at once, instead of each section in turn."""
CHANCE, ERRORS = 2.0, 6.0
"""Standard errors that a program has to gain by networks for an epoch to count, and for them to be added. It
is more than a line has to (`program_ridge.ERRORS`): the best of many epochs gains something by chance, and
spots that lie near are not independent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkGain:
    """What was found.

    Attributes
    ----------
    epochs
        How long networks learn: as long as was best where sections were left out.
    gain
        How much of them is added to each program.
    """

    epochs: int
    gain: Float[Tensor, " program"]


def choose_gain(
    new_model: Callable[[], MisoModel],
    loss_for: Callable[[MisoModel], Callable[[int], Tensor]],
    goal: Goal,
    sections: Sequence[Section],
    n_val: int,
    plan: Plan,
    host: Host = HERE,
) -> NetworkGain:
    """Train networks without some sections, in turn, and see what they gain there.

    The validation sections, which come last, are left out if they are of five patients or more; fewer say
    too little, and then all sections are left out, in up to five parts.

    Parameters
    ----------
    new_model, loss_for
        Make a model as it is before training, and its loss by a section's number.
    goal
        What the networks are to say of a section.
    """
    parts = _left_out(*names_and_patients(sections), n_val)
    if not parts or not plan.epochs:
        return NetworkGain(epochs=0, gain=torch.zeros_like(goal(0, sections[0])[0]))
    proofs = []
    for number, part in enumerate(parts, 1):
        model = new_model()
        kept = [index for index in range(len(sections)) if index not in part]
        best = train_epochs(
            model,
            plan,
            partial(shuffled, kept),
            loss_for(model),
            phase=f"proving {number} of {len(parts)}",
            judge=partial(_judge, model, goal, sections, part),
            before=Best(score=0.0),
            keep_weights=False,
            host=host,
        )
        proofs.append(best)
    return _decide(proofs)


def shuffled(indices: Sequence[int], order: torch.Generator) -> list[int]:
    """Return the numbers of sections in the order that a generator draws: an epoch's items."""
    return [indices[place] for place in torch.randperm(len(indices), generator=order).tolist()]


def _left_out(names: Sequence[str], patients: Sequence[str], n_val: int) -> list[list[int]]:
    """Numbers of the sections that are left out together; none where there is only one part."""
    units = [patient or name for patient, name in zip(patients, names, strict=True)]
    first_val = len(units) - n_val
    if len(set(units[first_val:])) >= ENOUGH:
        return [list(range(first_val, len(units)))]
    numbers = parts_of(names, patients)
    parts = [[i for i, number in enumerate(numbers) if number == part] for part in range(max(numbers) + 1)]
    return parts if len(parts) > 1 else []


@torch.no_grad()
def _judge(
    model: MisoModel, goal: Goal, sections: Sequence[Section], part: Sequence[int]
) -> tuple[float, list[float]]:
    """Return what networks gain beyond chance, over all programs; p·c, |p|², |c|² of each, and the spots."""
    along = square = missing = torch.zeros(1)
    spots = 0
    for index in part:
        section = sections[index]
        said = model.mixed(section.features, section.neighbors)
        said, missed = (said - said.mean(0))[section.spots], goal(index, section)[section.spots]
        along, square = along + (said * missed).sum(0).cpu(), square + said.square().sum(0).cpu()
        missing, spots = missing + missed.square().sum(0).cpu(), spots + len(missed)
    beyond = best_factor(along, square)[1] - CHANCE**2 * missing / max(spots, 1)
    return float(beyond.clamp(min=0).sum()), [*along.tolist(), *square.tolist(), *missing.tolist(), spots]


def _decide(proofs: Sequence[Best]) -> NetworkGain:
    """Take the epoch, one for all parts, at which what is proven over all of them gains most."""
    epochs = min(len(best.told) for best in proofs)
    told = torch.tensor([best.told[:epochs] for best in proofs]).sum(0)  # (epoch, 3 programs + 1)
    along, square, missing = told[:, :-1].reshape(epochs, 3, -1).unbind(1)
    factor, gained = best_factor(along, square)
    proven = gained > ERRORS**2 * missing / told[:, -1:].clamp(min=1)
    if not proven.any():
        return NetworkGain(epochs=0, gain=torch.zeros(missing.shape[1]))
    best = int((gained * proven).sum(1).argmax())
    return NetworkGain(epochs=best + 1, gain=torch.where(proven[best], factor[best], 0.0))
