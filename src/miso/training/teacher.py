"""Fitting a MISO model to sections: a linear part with networks on top, or the published network alone."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from miso.models.miso import PUBLISHED, MisoConfig, MisoModel
from miso.scores.metrics import mean_pearson
from miso.training.loop import HERE, Host, Plan, Precision, train_epochs
from miso.training.losses import CENTRED_MSE, COSINE, Loss, PerGene
from miso.training.network_gain import choose_gain, shuffled
from miso.training.program_ridge import fit_programs
from miso.training.section_loss import Goal, kept, mean_rate, section_loss
from miso.training.sections import Section, Sections


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRecipe:
    """How a teacher is made and trained.

    Attributes
    ----------
    max_epochs
        Epochs tried; which is best is seen on sections that are left out of the training.
    epochs_unseen
        Epochs of a network alone that no validation section judges.
    patience
        Epochs without a better score after which no more are tried; None tries all.
    floor
        The least that a network alone predicts; None where targets go below 0.
    gene_weights
        How much each gene counts in the loss; None takes all alike.
    accumulate, precision
        As in `miso.training.loop.Plan`.
    """

    model: MisoConfig
    loss: Loss
    lr: float
    weight_decay: float
    max_epochs: int
    epochs_unseen: int
    patience: int | None
    floor: float | None = 0.0
    gene_weights: PerGene | None = None
    accumulate: int = 1
    precision: Precision = "auto"


RECIPES = {
    "default": TeacherRecipe(
        model=MisoConfig(),
        loss=CENTRED_MSE,
        lr=1e-3,
        weight_decay=1e-2,
        max_epochs=30,
        epochs_unseen=10,
        patience=None,
    ),
    "published": TeacherRecipe(
        model=PUBLISHED,
        loss=COSINE,
        lr=1e-4,
        weight_decay=0.0,
        max_epochs=20,
        epochs_unseen=20,
        patience=None,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained model, and what validation chose."""

    model: MisoModel
    notes: dict[str, Any]


def fit_teacher(
    train: Sequence[Section], val: Sequence[Section], recipe: TeacherRecipe, seed: int, host: Host = HERE
) -> Fitted:
    """Train a teacher.

    Test sections are never seen. The validation sections choose the epoch of a network alone; a model with
    linear part is fitted to them too, and chooses by leaving sections out. Of sections that are read from
    disk, one at a time is held.
    """
    fit = _fit_with_linear if recipe.model.linear else _fit_network_alone
    return fit(train, val, recipe, seed, host)


def _fit_network_alone(
    train: Sequence[Section], val: Sequence[Section], recipe: TeacherRecipe, seed: int, host: Host
) -> Fitted:
    model = _new_model(train, recipe, seed)
    if recipe.model.link == "softplus":
        model.start_at(mean_rate(train))

    def judge() -> tuple[float, list[float]]:
        return _mean([_r(_floored(_predict(model, s), recipe.floor), s) for s in val]), []

    best = train_epochs(
        model,
        _plan(recipe, recipe.max_epochs if val else recipe.epochs_unseen, seed),
        partial(shuffled, range(len(train))),
        section_loss(model, train, lambda index, section: section.y, recipe.loss, recipe.gene_weights),
        phase="training",
        judge=judge if val else None,
        host=host,
    )
    if best.weights is not None:
        model.load_state_dict(best.weights)
    return Fitted(model=model, notes={"epoch": best.epoch, "validation_r": best.score if val else None})


def _fit_with_linear(
    train: Sequence[Section], val: Sequence[Section], recipe: TeacherRecipe, seed: int, host: Host
) -> Fitted:
    """Fit the linear part to all sections at hand, then networks, as far as these have proven themselves."""
    sections = _together(train, val)
    fresh, goal, notes = _with_linear_part(sections, recipe, seed)

    def loss_for(model: MisoModel) -> Callable[[int], Tensor]:
        return section_loss(model, sections, goal, recipe.loss, recipe.gene_weights)

    plan = _plan(recipe, recipe.max_epochs, seed)
    chosen = choose_gain(lambda: copy.deepcopy(fresh), loss_for, goal, sections, len(val), plan, host)
    if chosen.epochs:
        plan = replace(plan, epochs=chosen.epochs)
        train_epochs(
            fresh, plan, partial(shuffled, range(len(sections))), loss_for(fresh), phase="training", host=host
        )
    fresh.gain.copy_(chosen.gain)
    added = int((chosen.gain > 0).sum())
    return Fitted(model=fresh, notes={**notes, "epoch": chosen.epochs, "programs_of_networks": added})


# ---- parts


def _plan(recipe: TeacherRecipe, epochs: int, seed: int) -> Plan:
    return Plan(
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        epochs=epochs,
        seed=seed,
        patience=recipe.patience,
        accumulate=recipe.accumulate,
        precision=recipe.precision,
    )


def _with_linear_part(
    sections: Sequence[Section], recipe: TeacherRecipe, seed: int
) -> tuple[MisoModel, Goal, dict[str, Any]]:
    """Make a model with its linear part, and what that misses of each program: the networks' goals."""
    model = _new_model(sections, recipe, seed).eval()
    seen, mixed = model.inputs, recipe.model.programs
    fit = fit_programs(
        sections,
        lambda s: seen(s.features, s.neighbors),
        sights=(seen.alone, seen.n),
        most=recipe.model.rank,
    )
    model.set_linear(fit.weight, fit.programs, fit.bias)

    def goal(index: int, section: Section) -> Float[Tensor, "spot program"]:
        with torch.autocast(section.features.device.type, enabled=False):  # exact, whatever networks learn in
            missed = fit.missed(index, section)[:, :mixed]
        return F.pad(missed, (0, max(0, mixed - missed.shape[1]))).to(model.gain)

    return model, kept(goal), {"programs": fit.used, "surroundings": fit.sight > seen.alone}


def _new_model(sections: Sequence[Section], recipe: TeacherRecipe, seed: int) -> MisoModel:
    first = sections[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MisoModel(first.features.shape[1], first.y.shape[1], recipe.model)
    return model.to(first.features.device)


def _together(train: Sequence[Section], val: Sequence[Section]) -> Sequence[Section]:
    if isinstance(train, Sections) and isinstance(val, Sections):
        return train.of([*train.names, *val.names])
    return [*train, *val]


# ---- validation


@torch.no_grad()
def _predict(model: MisoModel, section: Section) -> Float[Tensor, "spot gene"]:
    values: Tensor = model(section.features, section.neighbors)
    return values


def _floored(values: Float[Tensor, "spot gene"], floor: float | None) -> Float[Tensor, "spot gene"]:
    return values if floor is None else values.clamp(min=floor)


def _r(predicted: Float[Tensor, "spot gene"], section: Section) -> float:
    return mean_pearson(predicted.cpu().numpy(), section.y.cpu().numpy())


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)
