"""What is seen below the spot, each patient of a phantom held out in turn, method beside method.

Every method makes a picture of each gene of a held-out section on cells of 8 µm, which are compared with the
noiseless truth: students by the code of `miso super-resolve`, spots (measured, or predicted by
the teacher) by interpolation, and the teacher on dense tiles. All are scored on the cells of tissue that a
map has; `unseen` in the results is the share that it lacks, as it is taken for glass. Figures are means over
visible genes, then over sections and patients:

- r, Spearman's, RMSE (both sides between their own extremes) and 2-D SSIM over all cells of tissue, and r
  under spots and between them;
- within: r under spots once each spot's own mean is taken off both sides, all that a map adds to spots; and
  the same of discs of a spot's size in the gaps between spots. Of invisible genes it should be 0. A map that
  is flat in every spot (so many of the visible genes are `flat`) counts as 0 here; a constant one counts in
  no other mean;
- at spots: r of what a method says of spots with measured counts; disc: how far the map pooled over a spot's
  disc lies from that, relative to the range of spots, mean and largest over the spots that it covers.

    .venv/bin/python benchmarks/below_the_spot.py [miso-demo/phantom]

Without a folder a cohort of four patients is drawn in a temporary one; in one that is given, teachers and
students are kept under `runs`. `--add` goes on with the rows that are missing in the results.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd

from below_methods import STUDENTS, dense_teacher, interpolated, mapped, student_of
from below_scores import Below, Said
from miso.models import load_checkpoint
from miso.phantom import PhantomSpec, write_her2st
from miso.samples import open_cohort
from miso.scores.paired import Unit, paired_difference
from miso.training import CohortConfig, TrainConfig, train
from miso.training.distill import generate_labels
from miso.training.folder import RunFolder
from miso.training.student import patch_weights
from miso.verbs._process_batch import process_her2st_folder
from miso.verbs._process_options import ProcessOptions
from miso.verbs.console import number, show_table, tell

RESULTS = Path(__file__).parent / "results" / "below_the_spot.json"
SIZE_UM = 2200.0
LABELS = "below_the_spot"
INTERPOLATED = {
    f"{source}: {how}": (source, how)
    for source in ("measured counts", "teacher's spots")
    for how in ("nearest", "linear", "IDW")
}
DENSE = "teacher on dense tiles"
METHODS = [*INTERPOLATED, DENSE, *STUDENTS]
AGAINST = ("published student", "published student, 16 spots a step, up to 60 epochs")
GOAL = 0.25
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohort", type=Path, nargs="?", help="a phantom with processed_data/ and truth/")
    parser.add_argument("--only", action="append", choices=METHODS, help="of the methods, these alone")
    parser.add_argument("--patient", action="append", help="of the patients held out, these alone")
    parser.add_argument("--add", action="store_true", help="keep the rows in RESULTS, make what is missing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows = json.loads(args.out.read_text()) if args.add and args.out.exists() else []
    with tempfile.TemporaryDirectory() as own:
        for row in study(args.cohort or drawn(Path(own)), args.only or METHODS, args.patient, rows):
            rows = [r for r in rows if (r["section"], r["method"]) != (row["section"], row["method"])]
            rows.append(row)
            tell(f"{row['section']} {row['method']}: within {row['within']:.3f}, r {row['r_tissue']:.3f}")
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    show(rows)


def drawn(folder: Path) -> Path:
    """Draw a cohort of four patients, and process it with the built-in encoder."""
    write_her2st(PhantomSpec(size_um=SIZE_UM), folder)
    process_her2st_folder(folder, [], ProcessOptions(encoder="stain", device="cpu"))
    return folder


def study(
    folder: Path, methods: Sequence[str], patients: Sequence[str] | None, rows: Sequence[Row]
) -> Iterator[Row]:
    """Train what is to be trained of every fold, and score it on the patient that the fold holds out."""
    config = TrainConfig(
        cohort=CohortConfig(path=str(folder / "processed_data")),
        splits="leave_one_patient_out",
        run_dir=str(folder / "runs" / "teachers"),
        baselines=False,
        labels=LABELS,
        device="cpu",
    )
    train(config, tell)
    generate_labels(config, open_cohort(folder / "processed_data"))
    cohort, run = open_cohort(folder / "processed_data"), RunFolder(path=Path(config.run_dir or ""))
    sections = {name: Below(sample, cohort, folder / "truth") for name, sample in cohort.samples.items()}
    for index, fold in enumerate(run.splits()["folds"]):
        parts = {part: [sections[name] for name in fold[part]] for part in ("train", "val", "test")}
        patient = parts["test"][0].sample.patient
        done = [{r["method"] for r in rows if r["section"] == name} for name in fold["test"]]
        missing = [method for method in methods if not all(method in of for of in done)]
        if patients and patient not in patients:
            continue
        for section, method, said in said_of(parts, missing, run, index):
            about = {"patient": patient, "section": section.sample.name, "method": method}
            yield {**about, **section.score(said)}


def said_of(
    parts: dict[str, list[Below]], methods: Sequence[str], run: RunFolder, fold: int
) -> Iterator[tuple[Below, str, Said]]:
    """Let every method speak of the test sections of a fold."""
    teacher = load_checkpoint(run.checkpoint(0, fold)).model if DENSE in methods else None
    models = {}
    for name in (name for name in methods if name in STUDENTS):
        began, kept = time.process_time(), run.path.parent / "students"
        models[name] = student_of(STUDENTS[name], parts["train"], parts["val"], fold, LABELS, kept)
        tell(f"{name}: {time.process_time() - began:.0f} s of processor")
    weights = {name: patch_weights(STUDENTS[name].recipe.model, parts["train"][0].sample) for name in models}
    for section in parts["test"]:
        predicted = anndata.read_h5ad(run.path / "predictions" / f"{section.sample.name}.h5ad")
        spots = {"measured counts": section.measured, "teacher's spots": np.asarray(predicted.X)}
        for name in (name for name in methods if name in INTERPOLATED):
            source, how = INTERPOLATED[name]
            yield section, name, interpolated(section, spots[source], how)
        if teacher is not None:
            yield section, DENSE, dense_teacher(section, teacher, spots["teacher's spots"])
        if models:
            for name, said in mapped(section, models, weights).items():
                yield section, name, said


# ---- tables

COLUMNS = {
    "within": ["within"],
    "within, gaps": ["within_between"],
    "invisible": ["within_invisible"],
    "flat": ["flat"],
    "r": ["r_tissue"],
    "under": ["r_inside"],
    "between": ["r_between"],
    "ρ": ["spearman_tissue"],
    "RMSE": ["rmse_tissue"],
    "SSIM": ["ssim"],
    "at spots": ["at_spots"],
    "disc %": ["disc_gap_mean", "disc_gap_most"],
}


def show(rows: Sequence[Row]) -> None:
    """Print the means over sections and patients that all methods have, and how far the default leads."""
    table = pd.DataFrame(rows)
    own = table.groupby("method")["section"].agg(set)
    shared = sorted(set.intersection(*own))
    table = table[table["section"].isin(shared)]
    means = table.groupby(["method", "patient"])[[*chain(*COLUMNS.values())]].mean().groupby("method").mean()
    lines = [
        (name, *(_cell(means.loc[name, keys], keys) for keys in COLUMNS.values()))
        for name in METHODS
        if name in means.index
    ]
    show_table(f"below the spot, held-out sections {', '.join(shared)}", ["method", *COLUMNS], lines)
    each = table.groupby(["method", "patient"])["within"].mean().unstack()
    show_table(
        "within, by patient held out",
        ["method", *each.columns],
        [(name, *map(number, each.loc[name])) for name in METHODS if name in each.index],
    )
    for other in AGAINST:
        if {other, "default student"} <= set(table["method"]):
            tell(lead(table, other))


def _cell(values: pd.Series, keys: Sequence[str]) -> str:
    if len(keys) == 1:
        return f"{values.iloc[0]:.0f}" if keys == ["flat"] else number(float(values.iloc[0]))
    return " · ".join(f"{100 * value:.1f}" for value in values)


def lead(table: pd.DataFrame, other: str) -> str:
    """Say how much higher the default's within-spot r is than another student's, of visible genes."""
    drawn = pd.DataFrame([cell for row in table.to_dict("records") for cell in _visible(row)])
    values = drawn.fillna({"value": 0.0})  # a flat map adds nothing
    units: tuple[Unit, ...] = ("patient", "gene")
    said = {unit: paired_difference(values, "default student", other, unit=unit) for unit in units}
    of_both = paired_difference(drawn, "default student", other, unit="patient").relative
    relative = said["patient"].relative
    intervals = "; ".join(
        f"95 % {_percent(d.relative_low)} to {_percent(d.relative_high)}: {d.caveat}" for d in said.values()
    )
    goal = f"goal {_percent(GOAL)} {'reached' if relative >= GOAL else 'not reached'}"
    return (
        f"default over {other!r}: {_percent(relative)} ({goal}), "
        f"{_percent(of_both)} on genes that neither draws flat; {intervals}"
    )


def _visible(row: Row) -> Iterator[Row]:
    """Yield the within-spot r of each visible gene of a section."""
    about = {"model": row["method"], "sample": row["section"], "patient": row["patient"]}
    for gene, r in row["within_by_gene"].items():
        if gene not in row["invisible"]:
            yield {**about, "gene": gene, "value": np.nan if r is None else r}


def _percent(share: float) -> str:
    return f"{100 * share:+.0f} %"


if __name__ == "__main__":
    main()
