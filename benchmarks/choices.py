"""What the default was chosen among, on HER2ST C2–C5 and on the phantom.

Nested: of each fold's sections that are not held out, one after the other is left out (patients, where there
are two), and the mean r there ("inside") is what a choice may be made by; "held out" is the r on the fold's
test section, which nothing is chosen by. Last come the networks, added as far as each fold proves them.

    .venv/bin/python benchmarks/choices.py her2st-download/processed_data [more folders of Samples]
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from miso.models.linear_inputs import LinearInputs
from miso.models.miso import MisoConfig, MisoModel, standardized
from miso.models.surroundings import near_mean, neighbor_mean
from miso.samples import Sample, open_cohort
from miso.scores.metrics import mean_pearson
from miso.training.linear import PENALTIES, path_over
from miso.training.program_ridge import ERRORS, fit_programs
from miso.training.sections import Section, load_section
from miso.training.teacher import RECIPES, fit_teacher
from miso.verbs.console import number, show_table, tell

TARGETS = ("raw", "log1p_cp10k")
NEAREST = 50
KNN = 37
Inputs = Callable[[Section], Tensor]
Fit = Callable[[Sequence[Section]], Inputs]
RESULTS = Path(__file__).parent / "results" / "choices.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("samples", type=Path, nargs="+", help="folders of Samples, each with one encoder")
    parser.add_argument(
        "--genes", default="her2st_panel", help="as cohort.genes, or all; genes that lack are dropped"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows = [row for folder in args.samples for target in TARGETS for row in study(folder, target, args.genes)]
    show_table(
        "mean over genes of the per-section r",
        ["encoder", "target", "model", "inside", "held out"],
        [
            (
                row["encoder"],
                row["target"],
                row["model"],
                number(row["inside"], 4),
                number(row["held_out"], 4),
            )
            for row in rows
        ],
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(rows, indent=1) + "\n")


def study(folder: Path, target: str, genes: str) -> list[dict[str, Any]]:
    """Try every model on one cohort and target."""
    cohort = open_cohort(folder, genes=None if genes == "all" else genes, missing="drop", target=target)
    samples = list(cohort.samples.values())
    sections = [load_section(s, cohort, NEAREST, torch.device("cpu"), baselines=False) for s in samples]
    discs = {sample.name: disc_features(sample) for sample in samples}
    about = {"encoder": samples[0].encoder_id.partition(":")[0], "target": target}
    rows = []
    for name, fit in models(sections[0].features.shape[1], discs).items():
        inside, held_out = nested(sections, fit)
        rows.append({**about, "model": name, "inside": inside, "held_out": held_out})
        tell(json.dumps(rows[-1]))
    rows.append(
        {**about, "model": "networks on top, as proven", "inside": None, "held_out": networks(sections)}
    )
    tell(json.dumps(rows[-1]))
    return rows


def disc_features(sample: Sample) -> Tensor:
    """Patch features pooled over each spot's disc, scaled on the section."""
    weights = torch.from_numpy(sample.grid.disc_weights(sample.spot_diameter_um))
    patches = torch.from_numpy(np.asarray(sample.patch_features, dtype=np.float32))
    return standardized(torch.einsum("spd,p->sd", patches, weights))


def models(dim: int, discs: dict[str, Tensor]) -> dict[str, Fit]:
    """Name what is tried."""
    tried = {f"gene by gene, mean of 25, penalty {p:g}": by_gene(flat(25), p) for p in PENALTIES}
    tried["programs, no surroundings"] = by_programs(flat())
    for nearest in ((9,), (25,), (9, 50)):
        tried[f"programs, mean of {' and of '.join(map(str, nearest))}"] = by_programs(flat(*nearest))
    for reach in (4.0, 8.0, 16.0):
        tried[f"programs, mean weighted by rank, reach {reach:g}"] = by_programs(ranked(reach))
    for weight in (0.5, 2.0):
        tried[f"programs, reach 8, surroundings × {weight:g}"] = by_programs(ranked(8.0, weight))
    tried["programs, reach 8, and the disc's patches"] = by_programs(
        lambda section: torch.cat([ranked(8.0)(section), discs[section.name]], dim=1)
    )
    for hidden in (256, 1024, 4096):
        tried[f"programs, reach 8, {hidden} hidden units"] = by_programs(default(dim, hidden)[0])
    inputs, seen = default(dim, MisoConfig().hidden)
    sights = (seen.alone, seen.n)
    for errors in (0.0, 2.0, 6.0):
        tried[f"the default, beyond {errors:g} errors"] = by_programs(inputs, sights, errors)
    tried["the default: with hidden units, surroundings chosen"] = by_programs(inputs, sights)
    return tried


# ---- what is seen of a spot


def flat(*nearest: int) -> Inputs:
    """Return features beside their means over the nearest spots, all alike."""

    def inputs(section: Section) -> Tensor:
        around = [neighbor_mean(section.features, section.neighbors[:, :k]) for k in nearest]
        return torch.cat([standardized(part) for part in (section.features, *around)], dim=1)

    return inputs


def ranked(reach: float, weight: float = 1.0) -> Inputs:
    """Return features beside their mean over the 37 nearest spots, the nearer the more."""

    def inputs(section: Section) -> Tensor:
        near = near_mean(section.features, section.neighbors[:, :KNN], reach)
        return torch.cat([standardized(section.features), weight * standardized(near)], dim=1)

    return inputs


def default(dim: int, hidden: int) -> tuple[Inputs, LinearInputs]:
    """Return the default's inputs with so many hidden units, and what makes them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        seen = LinearInputs(dim, hidden=hidden, reach=MisoConfig().reach, standardize=True)
    return (lambda section: seen(section.features, section.neighbors[:, :KNN])), seen


# ---- how it is fitted


def by_gene(inputs: Inputs, penalty: float) -> Fit:
    def fit(sections: Sequence[Section]) -> Inputs:
        linear = path_over(sections, inputs).at(penalty)
        return lambda section: linear(inputs(section))

    return fit


def by_programs(inputs: Inputs, sights: Sequence[int] = (), errors: float = ERRORS) -> Fit:
    def fit(sections: Sequence[Section]) -> Inputs:
        linear = fit_programs(sections, inputs, sights=sights, errors=errors).linear
        return lambda section: linear(inputs(section))

    return fit


def nested(sections: Sequence[Section], fit: Fit) -> tuple[float, float]:
    """Mean r on sections left out among those of a fold, and on those that the folds hold out."""
    inside, held_out = [], []
    for test in apart(sections):
        rest = [s for s in sections if s.name not in test]
        held_out += scores(fit(rest), sections, test)
        for val in apart(rest):
            inside += scores(fit([s for s in rest if s.name not in val]), rest, val)
    return float(np.mean(inside)), float(np.mean(held_out))


def networks(sections: Sequence[Section]) -> float:
    """Mean r of the whole default on sections held out; the next ones are each fold's validation sections."""
    near = [replace(section, neighbors=section.neighbors[:, :KNN]) for section in sections]
    folds, found = apart(near), []
    for test, val in zip(folds, [*folds[1:], folds[0]], strict=True):
        train = [s for s in near if s.name not in test | val]
        model = fit_teacher(train, [s for s in near if s.name in val], RECIPES["default"], seed=0).model
        with torch.inference_mode():
            found += scores(partial(_predict, model), near, test)
    return float(np.mean(found))


def _predict(model: MisoModel, section: Section) -> Tensor:
    values: Tensor = model(section.features, section.neighbors)
    return values


def apart(sections: Sequence[Section]) -> list[set[str]]:
    """Names of sections that are left out together: a patient's, or one where all are of one patient."""
    patients = {section.patient for section in sections}
    if len(patients) < 2:
        return [{section.name} for section in sections]
    return [{s.name for s in sections if s.patient == patient} for patient in sorted(patients)]


def scores(predict: Inputs, sections: Sequence[Section], names: set[str]) -> list[float]:
    return [r(predict(section), section) for section in sections if section.name in names]


def r(predicted: Tensor, section: Section) -> float:
    return mean_pearson(predicted.numpy(), section.y.numpy())


if __name__ == "__main__":
    main()
