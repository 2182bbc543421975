"""How well a run's intervals hold: the share of values covered, of patients that did not calibrate them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from miso.models.calibration import LEVEL, LEVELS, calibrate, half_width
from miso.models.residuals import Residuals
from miso.reports.checkpoints import residuals_of
from miso.reports.runs import FinishedRun, read_prediction
from miso.samples.targets import Values, target_values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Uncertainty:
    """What is known of a run's intervals.

    Attributes
    ----------
    coverage
        A row a group of held-out sections: who, spots, and a column a level with the share that is covered.
    half
        By gene, half the width of the 90 % interval, median over all held-out spots.
    by
        "patient", or "section" where all are of one patient.
    """

    coverage: pd.DataFrame
    half: "pd.Series[float]"
    by: str


def uncertainty(run: FinishedRun) -> Uncertainty | None:
    """Calibrate intervals without a patient (a section, where there is one patient) and count what they hold.

    None where the run keeps no residuals, or too few spots of others are left.

    Raises
    ------
    CheckpointError
        If what the run keeps is damaged.
    """
    residuals = residuals_of(run)
    if residuals is None:
        return None
    patients = run.cohort.patients
    by = "patient" if len({patients[name] for name in run.tested}) > 1 else "section"
    groups: dict[str, list[str]] = {}
    for name in run.tested:
        groups.setdefault(patients[name] if by == "patient" else name, []).append(name)
    rows, halves = [], []
    for who, names in groups.items():
        found = _covered(run, residuals, names)
        if found is not None:
            rows.append({"who": who, **found[0]})
            halves.append(found[1])
    if not rows:
        return None
    with np.errstate(all="ignore"):
        half = pd.Series(np.nanmedian(np.concatenate(halves), axis=0), index=run.cohort.genes)
    return Uncertainty(coverage=pd.DataFrame(rows), half=half, by=by)


def _covered(
    run: FinishedRun, residuals: Residuals, names: Sequence[str]
) -> tuple[dict[str, float], Values] | None:
    """Return spots and the share covered by level of some sections, and half-widths, spot by gene."""
    known = calibrate(residuals.without(names), run.cohort.genes)
    if known is None:
        return None
    predicted = np.concatenate([read_prediction(run, name) for name in names])
    measured = np.concatenate(
        [target_values(run.cohort.samples[name], run.cohort.target, run.cohort.genes) for name in names]
    )
    missed = np.abs(measured - predicted)
    row: dict[str, float] = {"spots": len(predicted)}
    for level in LEVELS:
        half = half_width(known, predicted, slice(None), level)
        counted = np.isfinite(missed) & np.isfinite(half)
        row[f"{level:g}"] = float((missed <= half)[counted].mean()) if counted.any() else float("nan")
    return row, half_width(known, predicted, slice(None), LEVEL)
