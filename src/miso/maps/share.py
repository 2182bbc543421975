"""Sharing a trained model: a run becomes a bundle that loads anywhere, without paths and patients."""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from miso.errors import CheckpointError
from miso.maps.loading import load
from miso.models import Checkpoint
from miso.models.bundle import HERE, Bundle, is_bundle, write_bundle
from miso.models.card import APART, Facts, HeldApart
from miso.models.encoder_id import without_folder
from miso.models.hub import HubName, push_to_hub
from miso.models.reliability import with_ceiling
from miso.untrusted.documents import read_json


def share(
    run: Path | str,
    out: Path | str,
    *,
    name: str = "",
    licence: str = "unstated",
    data: str = "",
    hide_names: bool = False,
    benchmark: Path | str | None = None,
) -> bool:
    """Write the bundle of a run, a fold or a checkpoint; return False if the very same is there already.

    The bundle has the weights, each gene's reliability and a model card. It never has a patient's name (they
    are numbered) nor the folder of a local encoder. Fingerprints of the slides stay, so that the bundle still
    knows which sections it was trained on and does not speak of them.

    Parameters
    ----------
    name
        Of the model, for the card; the run's folder by default.
    licence
        Of the weights, as an SPDX name.
    data
        Where the sections come from, in a sentence for the card.
    hide_names
        Whether sections are numbered too.
    benchmark
        A folder of `miso benchmark`, whose noise ceilings stand beside each gene's r.

    Raises
    ------
    CheckpointError
        If there is no finished run, `out` holds something else, or the benchmark has no ceilings.
    """
    run, out = Path(run), Path(out)
    if is_bundle(run):
        raise CheckpointError(
            f"{run} is a bundle already; copy the folder, or push it with --to hf:owner/model"
        )
    predictor = load(run)
    checkpoints = _plain(predictor.checkpoints, hide_names=hide_names)
    members = [f"model_{number}" for number in range(len(checkpoints))] if len(checkpoints) > 1 else [HERE]
    table = predictor.reliability
    if benchmark is not None:
        table = with_ceiling(table, Path(benchmark) / "ceiling.parquet", predictor.first.target)
    facts = Facts(
        name=name or run.resolve().name,
        licence=licence,
        data=data,
        sections=len(_names(checkpoints)) or None,
        patients=_patients(checkpoints),
        held_apart=_held_apart(run),
        compared=_compared(run),
    )
    bundle = Bundle(
        checkpoints=dict(zip(members, checkpoints, strict=True)),
        reliability=table,
        facts=facts,
    )
    return write_bundle(bundle, out)


def share_on_hub(
    run: Path | str,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = True,
    endpoint: str | None = None,
    **options: Any,
) -> str:
    """Push a run, or a bundle that is there, to the hub; return `hf:owner/model@commit`, which `load` takes.

    `options` are those of `share`; the others those of `push_to_hub`.

    Raises
    ------
    CheckpointError
        If there is no finished run, or the hub refuses.
    """
    hub_name = HubName.parse(repo_id)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(run)
        if not is_bundle(folder):
            folder = Path(scratch) / "bundle"
            share(run, folder, **options)
        commit = push_to_hub(folder, repo_id, token=token, private=private, endpoint=endpoint)
    return f"hf:{hub_name.repo}@{commit}"


def _plain(checkpoints: Iterable[Checkpoint], *, hide_names: bool) -> list[Checkpoint]:
    """Put numbers for patients (and sections), and leave out the folder of a local encoder."""
    checkpoints = list(checkpoints)
    patients = sorted({_patient(slide) for c in checkpoints for slide in c.slides.values()} - {""})
    number = {patient: str(index) for index, patient in enumerate(patients, 1)}
    every = sorted({*_names(checkpoints), *(name for c in checkpoints for name in c.slides)})
    called = {name: f"section-{i}" if hide_names else name for i, name in enumerate(every, 1)}
    return [_renamed(checkpoint, called, number) for checkpoint in checkpoints]


def _renamed(checkpoint: Checkpoint, called: Mapping[str, str], number: Mapping[str, str]) -> Checkpoint:
    slides: dict[str, Mapping[str, Any]] = {}
    for name, slide in checkpoint.slides.items():
        patient = {"patient": number[_patient(slide)]} if _patient(slide) else {}
        slides[called[name]] = {**slide, **patient}
    return replace(
        checkpoint,
        encoder=without_folder(checkpoint.encoder),
        slides=slides,
        trained_on=[called[name] for name in checkpoint.trained_on],
        validated_on=[called[name] for name in checkpoint.validated_on],
        held_out=[called[name] for name in checkpoint.held_out],
        residuals=checkpoint.residuals and checkpoint.residuals.renamed(called),
    )


def _patient(slide: Mapping[str, Any]) -> str:
    return str(slide.get("patient", ""))


def _names(checkpoints: Iterable[Checkpoint]) -> set[str]:
    return {name for c in checkpoints for name in (*c.trained_on, *c.validated_on, *c.held_out)}


def _patients(checkpoints: list[Checkpoint]) -> int | None:
    used = [slide for c in checkpoints for name, slide in c.slides.items() if name in _names([c])]
    patients = {_patient(slide) for slide in used}
    return len(patients) if used and "" not in patients else None


def _compared(run: Path) -> dict[str, float]:
    """Read the mean r of every model of a run; a fold or a checkpoint alone has none."""
    file = run / "summary.json"
    if not file.is_file():
        return {}
    try:
        summary = read_json(file)
        return {
            str(name): float(row["pearson"]) for name, row in summary.items() if row["pearson"] is not None
        }
    except (ValueError, AttributeError, KeyError, TypeError) as err:
        raise CheckpointError(f"{file} is damaged ({' '.join(str(err).split())[:80]})") from err


def _held_apart(run: Path) -> HeldApart:
    """Read from a run's splits, of which a fold's folder is a part, what was never split."""
    for folder in (run, run.resolve().parent, run.resolve().parent.parent):
        file = folder / "splits.json"
        if file.is_file():
            try:
                unit = read_json(file).get("held_apart")
            except (ValueError, AttributeError) as err:
                raise CheckpointError(f"{file} is damaged ({' '.join(str(err).split())[:80]})") from err
            return unit if unit in APART else "unknown"
    return "unknown"
