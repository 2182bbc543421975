"""One fold of a run: a teacher on spots, or a student on patches."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import CohortError
from miso.models import Checkpoint, MisoModel, PatchModel
from miso.models.standardize import FeatureReference
from miso.samples.sample import slide_fingerprint
from miso.samples.targets import dense_counts, target_values
from miso.training import student, teacher
from miso.training.baselines import Predictions, predict_baselines
from miso.training.losses import losses
from miso.training.run import FoldJob, empty_table
from miso.training.sections import Section, load_section
from miso.training.table import score_rows


def train_teacher_fold(job: FoldJob) -> pd.DataFrame:
    """Fit a teacher and the baselines on a fold; everything is scored on its test samples."""
    train, val, test = (_load(job, names) for names in (job.fold.train, job.fold.val, job.fold.test))
    recipe = _recipe(teacher.RECIPES, job)
    fitted = teacher.fit_teacher(train, val, recipe, job.seed, job.track)
    _save(job, "miso", fitted.model, fitted.notes)
    predicted = {s.name: predict_section(fitted.model, s, job.cohort.target.nonnegative) for s in test}
    for name, values in predicted.items():
        _write_prediction(job, name, values)
    draws = {"miso": [predicted]}
    if job.config.baselines:
        draws |= predict_baselines(train, val, test, job.seed)
    return _score(job, draws, {s.name: s.y.cpu().numpy() for s in test})


def train_student_fold(job: FoldJob) -> pd.DataFrame:
    """Fit a student to the labels of the fold's teacher; it is scored on measured test spots."""
    train = [_patches(job, name, labelled=True) for name in job.fold.train]
    val = [_patches(job, name, labelled=True) for name in job.fold.val]
    test = [_patches(job, name, labelled=False) for name in job.fold.test]
    recipe = _recipe(student.RECIPES, job)
    weights = student.patch_weights(recipe.model, job.samples[0])
    model, notes = student.fit_student(
        train,
        val,
        weights,
        recipe,
        nonnegative=job.cohort.target.nonnegative,
        seed=job.seed,
        device=job.device,
        track=job.track,
    )
    _save(job, "patch", model, notes)
    predicted = {s.name: student.predict_spots(model, s, weights) for s in test}
    for name, values in predicted.items():
        _write_prediction(job, name, values)
    return _score(job, {"patch": [predicted]}, {s.name: s.measured for s in test})


@torch.inference_mode()
def predict_section(
    model: MisoModel, section: Section, nonnegative: bool
) -> Float[NDArray[np.float32], "spot gene"]:
    """Predict the spots of a section, floored at 0 where the target cannot be negative."""
    values = model(section.features, section.neighbors)
    return np.asarray((values.clamp(min=0) if nonnegative else values).cpu().numpy())


def _load(job: FoldJob, names: Sequence[str]) -> list[Section]:
    cohort, config = job.cohort, job.config
    return [
        load_section(cohort.samples[name], cohort, config.knn, job.device, baselines=config.baselines)
        for name in names
    ]


def _patches(job: FoldJob, name: str, *, labelled: bool) -> student.PatchSection:
    sample = job.cohort.samples[name]
    labels = torch.empty(0)
    if labelled:
        found = sample.labels(job.config.labels)
        if found.genes != job.cohort.genes:
            raise CohortError(
                f"the labels {job.config.labels!r} of {name!r} are of other genes than this run's"
            )
        labels = torch.from_numpy(found.fold(job.index))
    return student.PatchSection(
        name=name,
        patches=sample.patch_features,
        labels=labels,
        measured=target_values(sample, job.cohort.target, job.cohort.genes, job.cohort.missing),
        reference=FeatureReference.of_section(sample.patch_features),
    )


def _recipe(recipes: dict[str, Any], job: FoldJob) -> Any:
    recipe, config = recipes[job.config.preset], job.config
    if config.loss is not None:
        recipe = replace(recipe, loss=losses[config.loss])
    epochs = config.max_epochs
    return recipe if epochs is None else replace(recipe, max_epochs=epochs, epochs_unseen=epochs)


def _score(job: FoldJob, predicted: dict[str, list[Predictions]], measured: Predictions) -> pd.DataFrame:
    """Score each model on each section; of several draws the mean r counts."""
    counts = {name: _counts(job, name) for name in measured}
    tables = [
        score_rows(
            draws[0][sample],
            values,
            job.cohort.genes,
            counts=counts[sample],
            further=[by_sample[sample] for by_sample in draws[1:]],
            repeat=job.repeat,
            fold=job.index,
            sample=sample,
            model=model,
            target=job.cohort.target.name,
        )
        for model, draws in predicted.items()
        for sample, values in measured.items()
    ]
    return pd.concat(tables, ignore_index=True) if tables else empty_table()


def _counts(job: FoldJob, name: str) -> Float[NDArray[np.float32], "spot gene"] | None:
    """Return the molecules of what is predicted; nothing where that is no gene (cell types, proteins)."""
    adata, genes = job.cohort.samples[name].adata, job.cohort.genes
    return dense_counts(adata, genes) if adata.var_names.isin(genes).sum() == len(genes) else None


def _write_prediction(job: FoldJob, name: str, values: Float[NDArray[np.float32], "spot gene"]) -> None:
    sample, cohort = job.cohort.samples[name], job.cohort
    job.run.write_prediction(job.repeat, sample, cohort.genes, values, cohort.target.units)


def _save(job: FoldJob, kind: str, model: MisoModel | PatchModel, notes: dict[str, Any]) -> None:
    sample, cohort = job.samples[0], job.cohort
    Checkpoint(
        model=model,
        kind=kind,
        genes=cohort.genes,
        target=cohort.target.name,
        units=cohort.target.units,
        nonnegative=cohort.target.nonnegative,
        encoder=sample.encoder_id,
        tile=asdict(sample.grid.tile),
        patch_px=sample.grid.patch_px,
        knn=job.config.knn,
        spot_diameter_um=sample.spot_diameter_um,
        stain=sample.stain,
        trained_on=job.fold.train,
        validated_on=job.fold.val,
        held_out=job.fold.test,
        slides={
            s.name: {
                "fingerprint": slide_fingerprint(s),
                "patient": s.patient,
                **s.manifest["resolution"],
            }
            for s in job.cohort.samples.values()
        },
        notes={"preset": job.config.preset, **notes},
    ).save(job.run.checkpoint(job.repeat, job.index))
