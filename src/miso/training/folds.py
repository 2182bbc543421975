"""One fold of a run: a teacher on spots, or a student on patches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import CohortError
from miso.models import Checkpoint, MisoModel, PatchModel
from miso.models.novelty import Novelty
from miso.models.residuals import Residuals
from miso.models.standardize import FeatureReference
from miso.samples.sample import slide_fingerprint
from miso.samples.targets import dense_counts, target_values
from miso.scores.columns import Measured
from miso.training import student, teacher
from miso.training.baselines import Predict, Values, fit_baselines
from miso.training.gene_weights import gene_weights
from miso.training.limits import predict_section, student_residuals, teacher_residuals, tiles_seen
from miso.training.losses import losses
from miso.training.run import FoldJob, empty_table
from miso.training.sections import Section, Sections
from miso.training.table import score_rows

Outcome = tuple[str, Values, Mapping[str, Iterable[Values]]]
"""A test section, what was measured there, and by model its prediction, or one a draw, made when needed."""


def train_teacher_fold(job: FoldJob) -> pd.DataFrame:
    """Fit a teacher and the baselines on a fold; everything is scored on its test samples."""
    train, val, test = _load(job)
    recipe = _recipe(teacher.RECIPES, job)
    if not job.cohort.target.nonnegative:
        recipe = replace(recipe, floor=None)
    fitted = teacher.fit_teacher(train, val, recipe, job.seed, job.host)
    nonnegative = job.cohort.target.nonnegative
    missed = teacher_residuals(fitted, train, val, test, recipe, job.seed, job.host, nonnegative=nonnegative)
    if not job.host.team.leads:
        return empty_table()
    _save(job, "miso", fitted.model, fitted.notes, missed)
    models: dict[str, list[Predict]] = {
        "miso": [lambda section: predict_section(fitted.model, section, nonnegative)]
    }
    if job.config.baselines:
        models |= fit_baselines(train, val, job.seed)
    return _score(job, "miso", (_outcome(section, models) for section in test))


def train_student_fold(job: FoldJob) -> pd.DataFrame:
    """Fit a student to the labels of the fold's teacher and to counts; measured test spots score it."""
    recipe = _recipe(student.RECIPES, job)
    train = [_patches(job, name, labelled=True, measured=recipe.counts > 0) for name in job.fold.train]
    val = [_patches(job, name, labelled=True) for name in job.fold.val]
    weights = student.patch_weights(recipe.model, job.samples[0])
    model, notes = student.fit_student(
        train,
        val,
        weights,
        recipe,
        nonnegative=job.cohort.target.nonnegative,
        seed=job.seed,
        device=job.device,
        host=job.host,
    )
    if not job.host.team.leads:
        return empty_table()
    test = [_patches(job, name, labelled=False) for name in job.fold.test]
    missed = student_residuals(model, [*test, *val], weights)
    seen = tiles_seen([*train, *val], [s.patient for s in job.samples[: len(train) + len(val)]])
    _save(job, "patch", model, notes, missed, seen)
    return _score(
        job,
        "patch",
        ((s.name, s.measured, {"patch": [student.predict_spots(model, s, weights)]}) for s in test),
    )


def _load(job: FoldJob) -> tuple[Sections, Sections, Sections]:
    """Return the sections of training, validation and test, which share what is held in memory."""
    fold, config = job.fold, job.config
    everyone = Sections(
        job.cohort,
        [*fold.train, *fold.val, *fold.test],
        config.knn,
        job.device,
        baselines=config.baselines,
        held=job.held,
    )
    return everyone.of(fold.train), everyone.of(fold.val), everyone.of(fold.test)


def _patches(job: FoldJob, name: str, *, labelled: bool, measured: bool = True) -> student.PatchSection:
    """Return a section as a student sees it: all of it on disk, until it is looked at."""
    sample, cohort = job.cohort.samples[name], job.cohort
    labels = torch.empty(0)
    if labelled:
        found = sample.labels(job.config.labels)
        if found.genes != cohort.genes:
            raise CohortError(
                f"the labels {job.config.labels!r} of {name!r} are of other genes than this run's"
            )
        labels = torch.from_numpy(found.fold(job.index))
    values = np.empty((0, len(cohort.genes)), dtype=np.float32)
    if measured:
        with sample.briefly(whole=False):
            values = target_values(sample, cohort.target, cohort.genes, cohort.missing)
        values = put_down(values, job.run.path)
    return student.PatchSection(
        name=name,
        patches=sample.patch_features,
        labels=labels,
        measured=values,
        reference=FeatureReference.of_section(sample.patch_features),
    )


def put_down(values: Values, folder: Path) -> Values:
    """Map values from a file without a name in a folder; it is gone when nobody looks at them any more."""
    with TemporaryFile(dir=folder) as file:
        file.write(values.tobytes())
        file.flush()
        return np.memmap(file, dtype=values.dtype, mode="c", shape=values.shape)


def _recipe(recipes: dict[str, Any], job: FoldJob) -> Any:
    recipe, config = recipes[job.config.preset], job.config
    if config.loss is not None:
        loss = losses[config.loss]
        recipe = replace(recipe, loss=loss, model=replace(recipe.model, link=loss.link))
    if config.gene_weights is not None:
        weights = gene_weights(config.gene_weights, job.cohort, job.fold.train, config.seed)
        recipe = replace(recipe, gene_weights=torch.from_numpy(weights).float().to(job.device))
    recipe = replace(recipe, accumulate=config.accumulate, precision=config.precision)
    if config.patience is not None:
        recipe = replace(recipe, patience=config.patience)
    epochs = config.max_epochs
    return recipe if epochs is None else replace(recipe, max_epochs=epochs, epochs_unseen=epochs)


def _outcome(section: Section, models: Mapping[str, Sequence[Predict]]) -> Outcome:
    def draws(of: Sequence[Predict]) -> Iterator[Values]:
        return (predict(section) for predict in of)

    return section.name, section.y.cpu().numpy(), {name: draws(of) for name, of in models.items()}


def _score(job: FoldJob, own: str, outcomes: Iterable[Outcome]) -> pd.DataFrame:
    """Score each model on each section, and write what `own` predicts; of several draws the mean r counts."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for sample, measured, predicted in outcomes:
        with job.cohort.samples[sample].briefly():
            known, counts = Measured(measured), _counts(job, sample)
            counted = None if counts is None else Measured(counts)
            for model, draws in predicted.items():
                each = iter(draws)
                first = next(each)
                if model == own:
                    _write_prediction(job, sample, first)
                rows = score_rows(
                    first,
                    known,
                    job.cohort.genes,
                    counts=counted,
                    further=each,
                    repeat=job.repeat,
                    fold=job.index,
                    sample=sample,
                    model=model,
                    target=job.cohort.target.name,
                )
                tables.setdefault(model, []).append(rows)
    rows_of_all = [rows for of_model in tables.values() for rows in of_model]
    return pd.concat(rows_of_all, ignore_index=True) if rows_of_all else empty_table()


def _counts(job: FoldJob, name: str) -> Float[NDArray[np.float32], "spot gene"] | None:
    """Return the molecules of what is predicted; nothing where that is no gene (cell types, proteins)."""
    adata, genes = job.cohort.samples[name].adata, job.cohort.genes
    return dense_counts(adata, genes) if adata.var_names.isin(genes).sum() == len(genes) else None


def _write_prediction(job: FoldJob, name: str, values: Float[NDArray[np.float32], "spot gene"]) -> None:
    sample, cohort = job.cohort.samples[name], job.cohort
    job.run.write_prediction(job.repeat, sample, cohort.genes, values, cohort.target.units)


def _save(
    job: FoldJob,
    kind: str,
    model: MisoModel | PatchModel,
    notes: dict[str, Any],
    residuals: Residuals | None,
    novelty: Novelty | None = None,
) -> None:
    sample, cohort = job.samples[0], job.cohort
    if residuals is None:
        job.run.log("nothing was held out that the model has not learnt from: no intervals")
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
        residuals=residuals,
        novelty=novelty,
    ).save(job.run.checkpoint(job.repeat, job.index))
