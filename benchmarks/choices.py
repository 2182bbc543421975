"""What the default's linear part was chosen among, on HER2ST C2–C5 and on the phantom.

Nested: of each fold's sections that are not held out, one after the other is left out, and the mean r there
("inside") is what a choice may be made by; "held out" is the r on the fold's test section, which nothing is
chosen by. Last come the networks on top, whose epoch and share each fold chooses on its validation section.

    .venv/bin/python benchmarks/choices.py her2st-download/processed_data [more folders of Samples]
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from miso.models.miso import MisoConfig, linear_inputs
from miso.samples import open_cohort
from miso.scores.metrics import mean_pearson
from miso.training.linear import PENALTIES, path_over
from miso.training.program_ridge import fit_programs
from miso.training.sections import Section, load_section
from miso.training.teacher import RECIPES, fit_teacher
from miso.verbs.console import number, show_table, tell

TARGETS = ("raw", "log1p_cp10k")
NEAREST = 50
Fit = Callable[[Sequence[Section]], Callable[[Section], Tensor]]
RESULTS = Path(__file__).parent / "results" / "choices.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("samples", type=Path, nargs="+", help="folders of Samples, each with one encoder")
    parser.add_argument(
        "--genes", default="her2st_panel", help="as cohort.genes; genes that lack are dropped"
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
    cohort = open_cohort(folder, genes=genes, missing="drop", target=target)
    sections = [
        load_section(sample, cohort, NEAREST, torch.device("cpu"), baselines=False)
        for sample in cohort.samples.values()
    ]
    about = {"encoder": next(iter(cohort.samples.values())).encoder_id.partition(":")[0], "target": target}
    rows = []
    for name, fit in linear_models().items():
        inside, held_out = nested(sections, fit)
        rows.append({**about, "model": name, "inside": inside, "held_out": held_out})
        tell(json.dumps(rows[-1]))
    rows.append({**about, "model": "and networks on top", "inside": None, "held_out": networks(sections)})
    tell(json.dumps(rows[-1]))
    return rows


def linear_models() -> dict[str, Fit]:
    """Name what is tried: gene by gene, and by programs with other contexts and other proofs."""
    models = {f"gene by gene, 25 near, penalty {p:g}": by_gene((25,), p) for p in PENALTIES}
    contexts = ((), (9,), (25,), (9, 37), (9, 50))
    for context in contexts:
        near = " + ".join(map(str, context)) or "none"
        models[f"programs, near: {near}"] = by_programs(context, 4.0)
    for errors in (0.0, 2.0, 6.0):
        models[f"programs, near: 25, beyond {errors:g} errors"] = by_programs((25,), errors)
    return models


def by_gene(context: tuple[int, ...], penalty: float) -> Fit:
    inputs = seen(context)

    def fit(sections: Sequence[Section]) -> Callable[[Section], Tensor]:
        linear = path_over(sections, inputs).at(penalty)
        return lambda section: linear(inputs(section))

    return fit


def by_programs(context: tuple[int, ...], errors: float) -> Fit:
    inputs = seen(context)

    def fit(sections: Sequence[Section]) -> Callable[[Section], Tensor]:
        linear = fit_programs(sections, inputs, errors).linear
        return lambda section: linear(inputs(section))

    return fit


def seen(context: tuple[int, ...]) -> Callable[[Section], Tensor]:
    config = MisoConfig(context=context)
    return lambda section: linear_inputs(section.features, section.neighbors, config)


def nested(sections: Sequence[Section], fit: Fit) -> tuple[float, float]:
    """Mean r on sections left out among those of a fold, and on those that the folds hold out."""
    inside, held_out = [], []
    for test in sections:
        rest = [s for s in sections if s is not test]
        held_out.append(r(fit(rest)(test), test))
        for val in rest:
            inside.append(r(fit([s for s in rest if s is not val])(val), val))
    return float(np.mean(inside)), float(np.mean(held_out))


def networks(sections: Sequence[Section]) -> float:
    """Mean r of the whole default on sections held out; the next one is each fold's validation section."""
    scores = []
    for i, test in enumerate(sections):
        val = sections[(i + 1) % len(sections)]
        near = [replace(s, neighbors=s.neighbors[:, :37]) for s in sections if s is not test and s is not val]
        model = fit_teacher(near, [val], RECIPES["default"], seed=0).model
        with torch.inference_mode():
            scores.append(r(model(test.features, test.neighbors), test))
    return float(np.mean(scores))


def r(predicted: Tensor, section: Section) -> float:
    return mean_pearson(predicted.numpy(), section.y.numpy())


if __name__ == "__main__":
    main()
