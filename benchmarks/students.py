"""What students see below the spot, each patient of a phantom held out in turn.

Trains a teacher for each patient left out, and students of its labels, and scores them on that patient's
sections: r with measured counts at spots, and r within spots with the noiseless truth: of each patch under a
spot it is that of the 8 µm cell in which the patch's centre lies, and each spot's own mean is taken off both
sides. Both are means over visible genes.

    .venv/bin/python benchmarks/students.py [miso-demo/phantom]

Without a folder a cohort of four patients is drawn in a temporary one; with one, teachers that it holds are
kept. `--only NAME --add` does some of the students anew and keeps the figures of the others.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from miso.models.patch import PatchModel
from miso.models.standardize import FeatureReference
from miso.phantom import PhantomSpec, open_truth, write_her2st
from miso.samples import Cohort, Sample, open_cohort
from miso.samples.targets import target_values
from miso.scores.metrics import pearson
from miso.training import CohortConfig, TrainConfig, train
from miso.training.distill import generate_labels
from miso.training.folder import RunFolder
from miso.training.student import (
    RECIPES,
    PatchSection,
    StudentRecipe,
    fit_student,
    patch_weights,
    predict_spots,
)
from miso.verbs._process import ProcessOptions, process_her2st_folder
from miso.verbs.console import number, show_table, tell

RESULTS = Path(__file__).parent / "results" / "students.json"
SIZE_UM = 2200.0
DEFAULT = RECIPES["default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A student of the table: how it is trained, and whether its labels are the truth of spots."""

    recipe: StudentRecipe
    told_truth: bool = False


STUDENTS = {
    "published": Entry(recipe=RECIPES["published"]),
    "published, 16 spots a step, up to 60 epochs": Entry(
        recipe=replace(RECIPES["published"], batch=16, max_epochs=60, patience=10)
    ),
    "few steps: labels, 128 spots a step, lr 0.001, 40 epochs": Entry(
        recipe=replace(DEFAULT, counts=0.0, batch=128, lr=1e-3, max_epochs=40)
    ),
    "labels alone": Entry(recipe=replace(DEFAULT, counts=0.0)),
    "counts alone": Entry(recipe=replace(DEFAULT, counts=1.0)),
    "half counts": Entry(recipe=replace(DEFAULT, counts=0.5)),
    "default": Entry(recipe=DEFAULT),
    "labels are the noiseless truth of spots": Entry(recipe=replace(DEFAULT, counts=0.0), told_truth=True),
}
TEACHER = "teacher, flat in every spot"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohort", type=Path, nargs="?", help="a phantom with processed_data/ and truth/")
    parser.add_argument("--only", action="append", choices=[*STUDENTS], help="of the students, these alone")
    parser.add_argument("--add", action="store_true", help="keep the rows of other students in RESULTS")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    names = args.only or [*STUDENTS]
    rows = json.loads(args.out.read_text()) if args.add and args.out.exists() else []
    rows = [row for row in rows if row["student"] not in (*names, TEACHER)]
    with tempfile.TemporaryDirectory() as own:
        for row in study(args.cohort or drawn(Path(own)), names):
            rows.append(row)
            tell(json.dumps(row))
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(rows, indent=1) + "\n")
    show(rows)


def drawn(folder: Path) -> Path:
    """Draw a cohort of four patients, and process it with the built-in encoder."""
    write_her2st(PhantomSpec(size_um=SIZE_UM), folder)
    process_her2st_folder(folder, [], ProcessOptions(encoder="stain", device="cpu"))
    return folder


def study(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Train and score students on every fold, beside its teacher."""
    config = TrainConfig(
        cohort=CohortConfig(path=str(folder / "processed_data")),
        splits="leave_one_patient_out",
        run_dir=str(folder / "runs" / "teachers"),
        baselines=False,
        device="cpu",
    )
    train(config, tell)
    generate_labels(config, open_cohort(folder / "processed_data"))
    cohort = open_cohort(folder / "processed_data")
    sections = {name: Below(sample, cohort, folder / "truth") for name, sample in cohort.samples.items()}
    run = RunFolder(path=Path(config.run_dir or ""))
    for index, fold in enumerate(run.splits()["folds"]):
        tests = [sections[name] for name in fold["test"]]
        about = {"held_out": cohort.samples[fold["test"][0]].patient}
        r = [s.r(anndata.read_h5ad(run.path / "predictions" / f"{s.sample.name}.h5ad").X) for s in tests]
        yield {**about, "student": TEACHER, "spots": float(np.mean(r)), "within": 0.0}
        for name in names:
            yield {**about, "student": name, **of_student(STUDENTS[name], sections, index, fold)}


class Below:
    """A section with what truly lies below its spots, at the patches of its disc."""

    def __init__(self, sample: Sample, cohort: Cohort, truths: Path) -> None:
        self.sample, self.truth = sample, open_truth(truths / f"{sample.name}.npz")
        self.genes = cohort.genes
        self.measured = target_values(sample, cohort.target, cohort.genes)
        seen = dict(zip(self.truth.genes, self.truth.visible.tolist(), strict=True))
        self.visible = np.array([seen[gene] for gene in cohort.genes])

    def seen(self, labels: Tensor) -> PatchSection:
        """Return the section as a student sees it."""
        return PatchSection(
            name=self.sample.name,
            patches=self.sample.patch_features,
            labels=labels,
            measured=self.measured,
            reference=FeatureReference.of_section(self.sample.patch_features),
        )

    def true_spots(self) -> Tensor:
        """Return what each spot is expected to count, without noise."""
        centers, columns = self.sample.adata.obsm["spatial"], self._columns()
        expected = self.truth.under(centers, self.sample.spot_diameter_um)[:, columns] * self.truth.depth
        return torch.from_numpy(expected.astype(np.float32))

    def r(self, predicted: Float[NDArray[np.float32], "spot gene"]) -> float:
        """Mean r over visible genes, at spots, with measured counts."""
        return float(np.nanmean(pearson(np.asarray(predicted), self.measured)[self.visible]))

    def within(self, patches: Callable[[int], Float[NDArray[np.float32], "patch gene"]]) -> float:
        """Mean within-spot r over visible genes, of what `patches` says of a spot."""
        weights = self.sample.grid.disc_weights(self.sample.spot_diameter_um) > 0
        cells = self.truth.raster.cells_of(
            self.sample.grid.centers_xy(self.sample.adata.obsm["spatial"], self.sample.mpp)
        )
        inside = self.truth.raster.contains(cells) & weights  # (spot, patch)
        rates, sums = self.truth.rates[self._columns()], np.zeros((3, len(self.genes)))
        for spot, here in enumerate(inside):
            row, col = cells[spot, here].T
            p, t = patches(spot)[here].astype(float), rates[:, row, col].T.astype(float)
            p, t = p - p.mean(0), t - t.mean(0)
            sums += np.stack([(p * t).sum(0), (p**2).sum(0), (t**2).sum(0)])
        pt, pp, tt = sums[:, self.visible]
        return float(np.mean(pt / np.sqrt(np.maximum(pp * tt, 1e-30))))

    def _columns(self) -> list[int]:
        return [self.truth.genes.index(gene) for gene in self.genes]


def of_student(
    entry: Entry, sections: dict[str, Below], index: int, fold: dict[str, list[str]]
) -> dict[str, Any]:
    """Train a student on a fold and score it on the patient that the fold holds out."""

    def labels(section: Below) -> Tensor:
        if entry.told_truth:
            return section.true_spots()
        return torch.from_numpy(section.sample.labels("pseudolabels").fold(index))

    tests = [sections[name] for name in fold["test"]]
    weights, began = patch_weights(entry.recipe.model, tests[0].sample), time.process_time()
    model, notes = fit_student(
        [sections[name].seen(labels(sections[name])) for name in fold["train"]],
        [sections[name].seen(torch.empty(0)) for name in fold["val"]],
        weights,
        entry.recipe,
        nonnegative=True,
        seed=0,
        device=torch.device("cpu"),
    )
    seconds = time.process_time() - began
    return {**score(model, tests, weights), "epoch": notes["epoch"], "processor_seconds": round(seconds, 1)}


@torch.inference_mode()
def score(model: PatchModel, tests: Sequence[Below], weights: Tensor) -> dict[str, float]:
    """Score a student on the sections of a patient."""
    spots, within = [], []
    for section in tests:
        seen = section.seen(torch.empty(0))
        spots.append(section.r(predict_spots(model, seen, weights)))

        def patches(spot: int, seen: PatchSection = seen) -> Float[NDArray[np.float32], "patch gene"]:
            return np.asarray(model(seen.read([spot])[0], seen.reference).numpy())

        within.append(section.within(patches))
    return {"spots": float(np.mean(spots)), "within": float(np.mean(within))}


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a line for each student: a column a patient, and the means over patients that all lines have."""
    lines = {name: {r["held_out"]: r for r in rows if r["student"] == name} for name in (TEACHER, *STUDENTS)}
    lines = {name: own for name, own in lines.items() if own}
    patients = sorted({row["held_out"] for row in rows})
    shared = [p for p in patients if all(p in own for own in lines.values())]
    table = []
    for name, own in lines.items():
        means = [number(float(np.mean([own[p][key] for p in shared]))) for key in ("spots", "within")]
        each = [
            f"{number(own[p]['spots'])} · {number(own[p]['within'])}" if p in own else "" for p in patients
        ]
        table.append((name, *means, *each))
    show_table(
        f"r at spots · within spots, mean over visible genes; means over {', '.join(shared)}",
        ["student", "at spots", "within", *patients],
        table,
    )


if __name__ == "__main__":
    main()
