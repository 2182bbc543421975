"""Distilling a teacher into a student that sees one patch at a time; a spot is the mean over its disc."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from miso.launch.progress import Track, silent
from miso.models.patch import PUBLISHED_PATCH, PatchConfig, PatchModel
from miso.models.standardize import FeatureReference
from miso.samples import Sample
from miso.scores.metrics import mean_pearson
from miso.training.programs import find_programs

BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentRecipe:
    """How a student is made and trained."""

    model: PatchConfig
    lr: float
    weight_decay: float
    max_epochs: int
    epochs_unseen: int
    scaled_loss: bool


RECIPES = {
    "default": StudentRecipe(
        model=PatchConfig(), lr=1e-3, weight_decay=1e-2, max_epochs=40, epochs_unseen=20, scaled_loss=True
    ),
    "published": StudentRecipe(
        model=PUBLISHED_PATCH, lr=1e-3, weight_decay=0.0, max_epochs=20, epochs_unseen=20, scaled_loss=False
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
        The measured target; chooses the epoch on validation sections, scores test sections, teaches nothing.
    """

    name: str
    patches: Float[NDArray[np.float16], "spot patch dim"]
    labels: Float[Tensor, "spot gene"]
    measured: Float[NDArray[np.float32], "spot gene"]
    reference: FeatureReference

    def read(self, rows: Sequence[int] | slice) -> Float[Tensor, "spot patch dim"]:
        """Read the patch features of some spots."""
        return torch.from_numpy(np.asarray(self.patches[rows], dtype=np.float32))


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
    track: Track = silent,
) -> tuple[PatchModel, dict[str, Any]]:
    """Train a student on labels; the validation sections choose the epoch, by their measured spots."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PatchModel(
            train[0].patches.shape[2], train[0].labels.shape[1], recipe.model, nonnegative=nonnegative
        )
    model = model.to(device).eval()
    if recipe.model.factors:
        model.programs.copy_(
            find_programs([s.labels for s in train], recipe.model.factors, nonnegative, seed)
        )
    best_score, best_epoch, best_state = _score(model, val, weights), 0, copy.deepcopy(model.state_dict())
    epochs = recipe.max_epochs if val else recipe.epochs_unseen
    for epoch in _epochs(model, train, weights, recipe, seed, epochs, track):
        score = _score(model, val, weights) if val else float(epoch)
        if score > best_score or not val:
            best_score, best_epoch, best_state = score, epoch, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return model.eval(), {"epoch": best_epoch, "validation_r": best_score if val else None}


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


def _epochs(
    model: PatchModel,
    sections: Sequence[PatchSection],
    weights: Float[Tensor, " patch"],
    recipe: StudentRecipe,
    seed: int,
    epochs: int,
    track: Track,
) -> Iterable[int]:
    """Train: batches of spots of one section, sections and spots shuffled; yields each epoch's number."""
    device = next(model.parameters()).device
    seen = weights > 0  # patches outside the disc teach nothing
    share = weights[seen].to(device)
    labels = torch.cat([s.labels for s in sections])
    scale = labels.std(0).clamp(min=1e-6).to(device) if recipe.scaled_loss else torch.ones((), device=device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    order = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout draws from here, and only inside this block
        for epoch in track(range(1, epochs + 1), epochs, "distilling"):
            model.train()
            for section, rows in _shuffled_batches(sections, order):
                predicted = model.spots(section.read(rows)[:, seen].to(device), share, section.reference)
                loss = torch.mean(((predicted - section.labels[rows].to(device)) / scale) ** 2)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
            model.eval()
            yield epoch


def _shuffled_batches(
    sections: Sequence[PatchSection], order: torch.Generator
) -> Iterable[tuple[PatchSection, list[int]]]:
    batches = [
        (section, rows.tolist())
        for section in sections
        for rows in torch.split(torch.randperm(len(section.patches), generator=order), BATCH)
    ]
    for index in torch.randperm(len(batches), generator=order).tolist():
        yield batches[index]


def _score(model: PatchModel, val: Sequence[PatchSection], weights: Float[Tensor, " patch"]) -> float:
    if not val:
        return float("-inf")
    return sum(mean_pearson(predict_spots(model, s, weights), s.measured) for s in val) / len(val)
