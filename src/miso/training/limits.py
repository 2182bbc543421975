"""What a trained model is told of its limits: what it misses where it has not learnt, what it has seen."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from miso.models import MisoModel, PatchModel
from miso.models.novelty import Novelty, TilesOfSection, fit_novelty, summed_up
from miso.models.residuals import Residuals
from miso.training.loop import Host
from miso.training.program_ridge import parts_of
from miso.training.sections import Section
from miso.training.student import PatchSection, predict_spots
from miso.training.teacher import Fitted, TeacherRecipe, fit_teacher

T = TypeVar("T")
Values = Float[NDArray[np.float32], "spot gene"]
MOST_TILES = 8000
"""Tiles of all sections that are looked at, and at most `TILES` of each."""
TILES = 256
MOST_SECTIONS = 32
"""Sections held out of which what is missed is recorded."""
AT_ONCE = 32
"""Tiles whose patches are in memory at a time."""


def teacher_residuals(
    fitted: Fitted,
    train: Sequence[Section],
    val: Sequence[Section],
    test: Sequence[Section],
    recipe: TeacherRecipe,
    seed: int,
    host: Host,
    *,
    nonnegative: bool,
) -> Residuals | None:
    """Record what a teacher misses on sections that it has not learnt from; None where there are none.

    A model with linear part is fitted to the validation sections too. Where it has no test sections it is
    therefore fitted once more, without the validation sections, which then say what such a model misses.
    """
    model, unseen = fitted.model, (test, val)
    if recipe.model.linear:
        unseen = (test, ())
        if val and not test:
            apart = host.snapshots and replace(host.snapshots, folder=host.snapshots.folder / "without")
            model = fit_teacher(train, (), recipe, seed, replace(host, snapshots=apart)).model
            unseen = (val, ())
    if not host.team.leads:
        return None
    return _recorded(
        (section.name, predict_section(model, section, nonnegative), section.y.cpu().numpy())
        for sections in unseen
        for section in _spread_evenly(sections)
    )


def student_residuals(
    model: PatchModel, unseen: Sequence[PatchSection], weights: Float[Tensor, " patch"]
) -> Residuals | None:
    """Record what a student misses on sections that it has not learnt from; None where there are none.

    Validation sections are among these: they have chosen an epoch, and their counts have taught nothing.
    """
    some = _spread_evenly(unseen)
    return _recorded((s.name, predict_spots(model, s, weights), s.measured) for s in some)


def tiles_seen(sections: Sequence[PatchSection], patients: Sequence[str]) -> Novelty | None:
    """Learn what tiles of some sections are like; None where they are too few."""
    most = min(TILES, max(MOST_TILES // len(sections), 1))
    parts = parts_of([section.name for section in sections], patients)
    return fit_novelty(
        [
            TilesOfSection(tiles=_summed_up(section, most), reference=section.reference, part=part)
            for section, part in zip(sections, parts, strict=True)
        ]
    )


@torch.inference_mode()
def predict_section(model: MisoModel, section: Section, nonnegative: bool) -> Values:
    """Predict the spots of a section, floored at 0 where the target cannot be negative."""
    values = model(section.features, section.neighbors)
    return np.asarray((values.clamp(min=0) if nonnegative else values).cpu().numpy())


def _spread_evenly(sections: Sequence[T]) -> Iterator[T]:
    """Take at most `MOST_SECTIONS`, each when it is asked for."""
    index = np.linspace(0, len(sections) - 1, min(MOST_SECTIONS, len(sections))).astype(int)
    return (sections[i] for i in index.tolist())


def _summed_up(section: PatchSection, most: int) -> Float[NDArray[np.float64], "tile dim"]:
    rows = np.unique(np.linspace(0, len(section.patches) - 1, min(most, len(section.patches))).astype(int))
    pieces = np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
    return np.concatenate(
        [summed_up(section.read(piece.tolist()).numpy(), section.reference) for piece in pieces]
    )


def _recorded(sections: Iterable[tuple[str, Values, Values]]) -> Residuals | None:
    found = (Residuals.of_section(name, predicted, measured) for name, predicted, measured in sections)
    return Residuals.together([record for record in found if record is not None])
