"""Fitting a MISO model to sections: the loop one can read, and the choice of epoch on validation sections."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from miso.launch.progress import Track, silent
from miso.models.miso import PUBLISHED, MisoConfig, MisoModel, linear_inputs, standardized
from miso.models.neighborhood import blocks_of
from miso.scores.metrics import mean_pearson
from miso.training.losses import Loss, centred_mse, cosine_loss
from miso.training.program_ridge import fit_programs
from miso.training.sections import Section

GAINS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of the network is added to the linear part; chosen on validation."""
DEFAULT_GAIN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRecipe:
    """How a teacher is made and trained.

    Attributes
    ----------
    max_epochs, epochs_unseen
        Epochs tried when a validation section chooses among them, and taken when there is none.
    refit
        Whether, once everything is chosen, the model is fitted again on training and validation sections.
    """

    model: MisoConfig
    loss: Loss
    lr: float
    weight_decay: float
    max_epochs: int
    epochs_unseen: int
    refit: bool


RECIPES = {
    "default": TeacherRecipe(
        model=MisoConfig(),
        loss=centred_mse,
        lr=1e-3,
        weight_decay=1e-2,
        max_epochs=30,
        epochs_unseen=10,
        refit=True,
    ),
    "published": TeacherRecipe(
        model=PUBLISHED,
        loss=cosine_loss,
        lr=1e-4,
        weight_decay=0.0,
        max_epochs=20,
        epochs_unseen=20,
        refit=False,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained model, and what validation chose."""

    model: MisoModel
    notes: dict[str, Any]


def fit_teacher(
    train: Sequence[Section], val: Sequence[Section], recipe: TeacherRecipe, seed: int, track: Track = silent
) -> Fitted:
    """Train a teacher.

    The validation sections choose the epoch and the gain; test sections are never seen.
    """
    fit = _fit_with_linear if recipe.model.linear else _fit_network_alone
    return fit(train, val, recipe, seed, track)


def _fit_network_alone(
    train: Sequence[Section], val: Sequence[Section], recipe: TeacherRecipe, seed: int, track: Track
) -> Fitted:
    model = _new_model(train, recipe, seed)
    best_score, best_epoch, best_state = float("-inf"), 0, model.state_dict()
    epochs = recipe.max_epochs if val else recipe.epochs_unseen
    goals = [s.y for s in train]
    for epoch in _epochs(model, train, goals, recipe, seed, epochs, track):
        score = _score([p.clamp(min=0) for p in _predict(model, val)], val) if val else epoch
        if score > best_score:
            best_score, best_epoch, best_state = score, epoch, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return Fitted(model=model, notes={"epoch": best_epoch, "validation_r": best_score if val else None})


def _fit_with_linear(
    train: Sequence[Section], val: Sequence[Section], recipe: TeacherRecipe, seed: int, track: Track
) -> Fitted:
    notes: dict[str, Any] = {"epoch": recipe.epochs_unseen, "gain": DEFAULT_GAIN}
    if val:
        notes |= _choose_epoch_and_gain(train, val, recipe, seed, track)
    everything = [*train, *val] if recipe.refit else list(train)
    model, goals, used = _prepared(everything, recipe, seed)
    if notes["gain"] > 0:
        for _ in _epochs(model, everything, goals, recipe, seed, notes["epoch"], track):
            pass
    model.gain.fill_(notes["gain"])
    return Fitted(model=model, notes={"programs": used, **notes})


def _choose_epoch_and_gain(
    train: Sequence[Section], val: Sequence[Section], recipe: TeacherRecipe, seed: int, track: Track
) -> dict[str, Any]:
    model, goals, _ = _prepared(train, recipe, seed)
    model.gain.fill_(0.0)
    base = _predict(model, val)
    model.gain.fill_(1.0)
    linear = _score(base, val)
    best = {"epoch": 0, "gain": 0.0, "validation_r": linear, "validation_r_linear": linear}
    for epoch in _epochs(model, train, goals, recipe, seed, recipe.max_epochs, track):
        whole = _predict(model, val)
        for gain in GAINS[1:]:
            score = _score([b + gain * (w - b) for b, w in zip(base, whole, strict=True)], val)
            if score > best["validation_r"]:
                best |= {"epoch": epoch, "gain": gain, "validation_r": score}
    return best


def _epochs(
    model: MisoModel,
    sections: Sequence[Section],
    goals: Sequence[Float[Tensor, "spot gene"]],
    recipe: TeacherRecipe,
    seed: int,
    epochs: int,
    track: Track,
) -> Iterable[int]:
    """Train: one section a step, every section once an epoch; yields each epoch's number.

    The members of the model are trained side by side, each on its own loss. Between epochs the model is in
    evaluation mode.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    nears = [blocks_of(section.neighbors[:, : recipe.model.attend]) for section in sections]
    columns = [_measured(goal) for goal in goals]
    order = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout draws from here, and only inside this block
        for epoch in track(range(1, epochs + 1), epochs, "training"):
            model.train()
            for index in torch.randperm(len(sections), generator=order).tolist():
                section, goal, near = sections[index], goals[index], nears[index]
                x = standardized(section.features) if recipe.model.standardize else section.features
                there = columns[index]
                losses = [
                    recipe.loss(network(x, near)[:, there], goal[:, there]) for network in model.networks
                ]
                optimizer.zero_grad()
                torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
            model.eval()
            yield epoch


def _measured(goal: Float[Tensor, "spot gene"]) -> Tensor | slice:
    """Columns of the genes that a section measured."""
    there = ~goal.isnan().any(0)
    return slice(None) if bool(there.all()) else there


def _prepared(
    sections: Sequence[Section], recipe: TeacherRecipe, seed: int
) -> tuple[MisoModel, list[Float[Tensor, "spot program"]], int]:
    """Make a model with its linear part, and what that misses of each program: the network's goals."""
    model = _new_model(sections, recipe, seed)
    fit = fit_programs(sections, lambda s: linear_inputs(s.features, s.neighbors, recipe.model))
    model.set_linear(fit.linear, fit.programs)
    mixed = recipe.model.programs
    goals = [F.pad(missed[:, :mixed], (0, max(0, mixed - missed.shape[1]))) for missed in fit.missed]
    return model.eval(), [goal.to(model.gain) for goal in goals], fit.used


def _new_model(sections: Sequence[Section], recipe: TeacherRecipe, seed: int) -> MisoModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MisoModel(sections[0].features.shape[1], sections[0].y.shape[1], recipe.model)
    return model.to(sections[0].features.device)


@torch.no_grad()
def _predict(model: MisoModel, sections: Sequence[Section]) -> list[Float[Tensor, "spot gene"]]:
    return [model(s.features, s.neighbors) for s in sections]


def _score(predicted: Sequence[Tensor], sections: Sequence[Section]) -> float:
    pairs = zip(predicted, sections, strict=True)
    scores = [mean_pearson(p.cpu().numpy(), s.y.cpu().numpy()) for p, s in pairs]
    return sum(scores) / len(scores)
