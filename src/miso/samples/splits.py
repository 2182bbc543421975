"""Splits as data: folds of patients or samples, validated before anything is trained."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from miso.errors import SplitError
from miso.untrusted.documents import read_json

Unit = Literal["patient", "sample"]
HER2ST_FOLDS = "her2st_folds"
"""The HER2ST benchmark's four folds of patients (Wang et al., Nature Communications 2025)."""
PARTS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Names of the samples in each part; validation may choose (epochs, penalties), test chooses nothing."""

    train: list[str]
    val: list[str]
    test: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Folds over the samples of a cohort, and the unit that is never split apart."""

    unit: Unit
    folds: list[Fold]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the folds by sample name, as they are kept in a run folder."""
        folds = [{part: getattr(fold, part) for part in PARTS} for fold in self.folds]
        return {"unit": "sample", "held_apart": self.unit, "folds": folds, "notes": list(self.notes)}


def read_splits(source: str, patients: dict[str, str]) -> Splits:
    """Read splits and resolve them to samples.

    Parameters
    ----------
    source
        A JSON file; `her2st_folds`; `leave_one_sample_out` or `leave_one_patient_out`, whose validation unit
        is the one after the test unit.
    patients
        The patient of each sample of the cohort.

    Raises
    ------
    SplitError
        If the JSON is malformed, parts overlap, or names match nothing.
    """
    named = source in {"leave_one_sample_out", "leave_one_patient_out"}
    content = _leave_one_out(source, patients) if named else _load(source)
    unit = content.get("unit")
    if unit not in ("patient", "sample"):
        raise SplitError(f"splits {source!r}: 'unit' must be 'patient' or 'sample', not {unit!r}")
    if not isinstance(content.get("folds"), list) or not content["folds"]:
        raise SplitError(f"splits {source!r}: 'folds' must be a list of folds with train, val and test")
    known = _members(unit, patients)
    notes: list[str] = []
    benchmark = source == HER2ST_FOLDS
    folds = [_fold(i, fold, known, notes, forgiving=benchmark) for i, fold in enumerate(content["folds"])]
    usable = [fold for fold in folds if fold is not None]
    if not usable:
        raise SplitError(
            f"splits {source!r}: no fold has anything to train on and to test on "
            f"among {', '.join(sorted(known))}; pass splits=leave_one_sample_out, or a JSON file of your own"
        )
    return Splits(unit=unit, folds=usable, notes=tuple(notes))


def _members(unit: Unit, patients: dict[str, str]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for sample, patient in sorted(patients.items()):
        known.setdefault(patient if unit == "patient" else sample, []).append(sample)
    return known


def _load(source: str) -> dict[str, Any]:
    path = files("miso.assets") / "her2st_folds.json" if source == HER2ST_FOLDS else Path(source)
    if not path.is_file():
        raise SplitError(
            f"no splits at {source!r}; give a JSON file, "
            f"'leave_one_sample_out', 'leave_one_patient_out' or {HER2ST_FOLDS!r}"
        )
    try:
        content = read_json(path)
    except ValueError as err:
        raise SplitError(f"splits {source!r} are no JSON: {err}") from err
    if not isinstance(content, dict):
        raise SplitError(f"splits {source!r}: expected an object with 'unit' and 'folds'")
    return content


def _leave_one_out(source: str, patients: dict[str, str]) -> dict[str, Any]:
    unit: Unit = "patient" if source == "leave_one_patient_out" else "sample"
    units = sorted(_members(unit, patients))
    if len(units) < 3:
        raise SplitError(
            f"splits={source} needs at least three {unit}s (train, val, test), but there are {len(units)}"
        )
    folds = [
        {
            "test": [u],
            "val": [units[(i + 1) % len(units)]],
            "train": [w for w in units if w not in {u, units[(i + 1) % len(units)]}],
        }
        for i, u in enumerate(units)
    ]
    return {"unit": unit, "folds": folds}


def _are_names(part: Any) -> bool:
    return isinstance(part, list) and all(isinstance(name, str) for name in part)


def _fold(
    index: int, fold: Any, known: dict[str, list[str]], notes: list[str], *, forgiving: bool
) -> Fold | None:
    if not isinstance(fold, dict) or not all(_are_names(fold.get(part)) for part in PARTS):
        raise SplitError(f"fold {index}: expected lists 'train', 'val' and 'test' of names")
    seen: dict[str, str] = {}
    for part in PARTS:
        for name in fold[part]:
            if name in seen:
                raise SplitError(f"fold {index}: {name!r} is in {seen[name]!r} and in {part!r}")
            seen[name] = part
    absent = [name for name in seen if name not in known]
    if absent and not forgiving:
        raise SplitError(f"fold {index}: {absent[0]!r} matches nothing; there are {', '.join(sorted(known))}")
    resolved = Fold(**{part: [s for name in fold[part] for s in known.get(name, [])] for part in PARTS})
    if not resolved.train or (forgiving and not resolved.test):
        if not forgiving:
            raise SplitError(f"fold {index} has nothing to train on")
        reason = "its test patients are not here" if resolved.train else "nothing to train on"
        notes.append(f"fold {index} of the benchmark is left out: {reason}")
        return None
    if absent:
        notes.append(
            f"fold {index} of the benchmark runs without {', '.join(sorted(absent))}, which are not here"
        )
    return resolved
