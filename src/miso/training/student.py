"""Distilling a teacher into a student that sees one patch at a time; a spot is the mean over its disc.

The default student learns from the teacher and from the counts: a teacher tells of its genes only what few
programs make of the whole tile; the counts of many spots tell more, but are noisy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from miso.models.patch import PUBLISHED_PATCH, PatchConfig, PatchModel
from miso.models.standardize import FeatureReference
from miso.samples import Sample
from miso.scores.metrics import mean_pearson
from miso.training.loop import HERE, Host, Plan, Precision, train_epochs
from miso.training.programs import find_programs, spread_of
from miso.training.snapshot import Best, copy_weights

BATCH = 128
"""Spots predicted at once; more of them would be slower, and hold more patches in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentRecipe:
    """How a student is made and trained; the rest as in `miso.training.loop.Plan`.

    Attributes
    ----------
    max_epochs, epochs_unseen
        Epochs tried when a validation section chooses among them, and taken when there is none.
    scaled_loss
        Whether the squared error of each gene is in units of its variance.
    counts
        Share of the measured target in what is learnt of a training spot, from 0 (the labels alone) to 1.
    batch
        Spots, all of one section, whose mean loss makes a step.
    """

    model: PatchConfig
    counts: float
    batch: int
    lr: float
    weight_decay: float
    max_epochs: int
    epochs_unseen: int
    scaled_loss: bool
    patience: int | None
    accumulate: int = 1
    precision: Precision = "auto"


RECIPES = {
    "default": StudentRecipe(
        model=PatchConfig(),
        counts=0.25,
        batch=16,
        lr=3e-3,
        weight_decay=1e-2,
        max_epochs=60,
        epochs_unseen=20,
        scaled_loss=True,
        patience=10,
    ),
    "published": StudentRecipe(
        model=PUBLISHED_PATCH,
        counts=0.0,
        batch=128,
        lr=1e-3,
        weight_decay=0.0,
        max_epochs=20,
        epochs_unseen=20,
        scaled_loss=False,
        patience=None,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSection:
    """One section as a student sees it.

    Attributes
    ----------
    patches
        Patch features, read from disk as they are needed.
    labels
        What the fold's teacher says of each spot; empty for a section it must not speak of.
    measured
        The measured target, NaN where unknown; a share of it is learnt on training sections, it chooses the
        epoch on validation sections and scores test sections.
    """

    name: str
    patches: Float[NDArray[np.float16], "spot patch dim"]
    labels: Float[Tensor, "spot gene"]
    measured: Float[NDArray[np.float32], "spot gene"]
    reference: FeatureReference

    def read(self, rows: Sequence[int] | slice) -> Float[Tensor, "spot patch dim"]:
        """Read the patch features of some spots."""
        return torch.from_numpy(np.asarray(self.patches[rows], dtype=np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """What is learnt of a section: its labels, mixed with what was measured where that is known.

    Mixed for the spots that are asked for, so that neither needs to be in memory.
    """

    labels: Float[Tensor, "spot gene"]
    measured: Float[NDArray[np.float32], "spot gene"]
    share: float

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor | slice) -> Float[Tensor, "some gene"]:
        labels = self.labels[rows]
        if not self.share:
            return labels
        index = rows if isinstance(rows, slice) else rows.numpy()
        measured = torch.from_numpy(np.asarray(self.measured[index]))
        return torch.where(measured.isnan(), labels, torch.lerp(labels, measured, self.share))


def patch_weights(config: PatchConfig, sample: Sample) -> Float[Tensor, " patch"]:
    """Share of each patch in a spot of a Sample."""
    return torch.from_numpy(config.weights(sample.grid, sample.spot_diameter_um, square=sample.square_spots))


def fit_student(
    train: Sequence[PatchSection],
    val: Sequence[PatchSection],
    weights: Float[Tensor, " patch"],
    recipe: StudentRecipe,
    *,
    nonnegative: bool,
    seed: int,
    device: torch.device,
    host: Host = HERE,
) -> tuple[PatchModel, dict[str, Any]]:
    """Train a student on labels, and on counts as far as its recipe says.

    The validation sections choose the epoch, by their measured spots.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PatchModel(
            train[0].patches.shape[2], train[0].labels.shape[1], recipe.model, nonnegative=nonnegative
        )
    model = model.to(device).eval()
    goals = [Goals(labels=s.labels, measured=s.measured, share=recipe.counts) for s in train]
    if recipe.model.factors:
        model.programs.copy_(find_programs(goals, recipe.model.factors, nonnegative, seed))
    plan = Plan(
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        epochs=recipe.max_epochs if val else recipe.epochs_unseen,
        seed=seed,
        patience=recipe.patience,
        accumulate=recipe.accumulate,
        precision=recipe.precision,
    )
    before = Best(score=_score(model, val, weights), weights=copy_weights(model)) if val else None
    best = train_epochs(
        model,
        plan,
        partial(_shuffled_batches, list(zip(train, goals, strict=True)), recipe.batch),
        _loss_of(model, goals, weights, recipe),
        phase="distilling",
        judge=(lambda: (_score(model, val, weights), [])) if val else None,
        before=before,
        host=host,
    )
    if best.weights is not None:
        model.load_state_dict(best.weights)
    return model, {"epoch": best.epoch, "validation_r": best.score if val else None}


@torch.no_grad()
def predict_spots(
    model: PatchModel, section: PatchSection, weights: Float[Tensor, " patch"]
) -> Float[NDArray[np.float32], "spot gene"]:
    """Predict a section's spots: the patches' predictions, pooled."""
    device = next(model.parameters()).device
    seen = weights > 0
    share, parts = weights[seen].to(device), []
    for start in range(0, len(section.patches), BATCH):
        features = section.read(slice(start, start + BATCH))[:, seen].to(device)
        parts.append(model.spots(features, share, section.reference).cpu().numpy())
    return np.concatenate(parts)


Batch = tuple[PatchSection, Goals, Tensor]
"""Spots of one section, by their rows."""


def _loss_of(
    model: PatchModel, goals: Sequence[Goals], weights: Float[Tensor, " patch"], recipe: StudentRecipe
) -> Callable[[Batch], Tensor]:
    """Return the loss on a batch of spots: their squared error."""
    device = next(model.parameters()).device
    seen = weights > 0  # patches outside the disc teach nothing
    share = weights[seen].to(device)
    spread = spread_of(of_section[:] for of_section in goals) if recipe.scaled_loss else torch.ones(())
    scale = spread.clamp(min=1e-6).to(device)

    def loss_of(batch: Batch) -> Tensor:
        section, goal, rows = batch
        features = section.read(rows.tolist())[:, seen].to(device)
        predicted = model.spots(features, share, section.reference).float()
        return torch.mean(((predicted - goal[rows].to(device)) / scale) ** 2)

    return loss_of


def _shuffled_batches(
    sections: Sequence[tuple[PatchSection, Goals]], size: int, order: torch.Generator
) -> list[Batch]:
    """Batches of spots of one section each, sections and spots shuffled."""
    batches = [
        (section, goals, rows)
        for section, goals in sections
        for rows in torch.split(torch.randperm(len(section.patches), generator=order), size)
    ]
    return [batches[index] for index in torch.randperm(len(batches), generator=order).tolist()]


def _score(model: PatchModel, val: Sequence[PatchSection], weights: Float[Tensor, " patch"]) -> float:
    return sum(mean_pearson(predict_spots(model, s, weights), s.measured) for s in val) / len(val)
