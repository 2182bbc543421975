"""Every other spot of real sections hidden, and predicted from the rest of the same sections.

Spots are split like a checkerboard, by the parity of array row + column. Teacher, students and baselines
learn from the spots of one colour of all sections, without validation; those of the other colour are
predicted, and the other way round. Beside them stands what needs no model: counts of a section's own visible
spots, the nearest or interpolated. r is over the hidden spots of a section and colour, each model trained on
the target that it is scored on; a gene that a model predicts constant has none.

    .venv/bin/python benchmarks/checkerboard.py her2st-download/processed_data --work work

What `--work` holds already is not trained again; rows of other targets in the results are kept.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interpolate import interpolate
from miso.samples import Cohort, Sample, open_cohort, open_sample
from miso.samples.neighbors import nearest_spots
from miso.samples.sample import MANIFEST
from miso.samples.targets import target_values
from miso.samples.write import finish_sample
from miso.training import CohortConfig, TrainConfig, train
from miso.training.distill import generate_labels
from miso.training.table import score_rows
from miso.verbs.console import number, show_table, tell, track

TARGETS = ("raw", "log1p")
COLOURS = ("white", "black")
STUDENTS = {"default": "default student", "published": "published student"}
MODELS = {"miso": "teacher", "ridge+neighbours": "", "stain+ridge": "", "pca+ridge": "", "coordinates": ""}
METHODS = ("nearest", "linear", "IDW")
RESULTS = Path(__file__).parent / "results" / "checkerboard.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("samples", type=Path, help="folder of Samples")
    parser.add_argument("--work", type=Path, required=True, help="folder for the halves and the runs")
    parser.add_argument("--genes", default="her2st_panel", help="as cohort.genes")
    parser.add_argument("--target", action="append", choices=TARGETS, help="of the targets, these alone")
    parser.add_argument(
        "--student", action="append", choices=[*STUDENTS], help="of the students, these alone"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    halves = halve(args.samples, args.work / "halves")
    rows = json.loads(args.out.read_text()) if args.out.exists() else []
    for target in args.target or TARGETS:
        table = pd.concat(scores(halves, args.work, target, args.genes, args.student or [*STUDENTS]))
        rows = [row for row in rows if row["target"] != target] + summarised(table, target)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    show(rows)


def halve(samples: Path, folder: Path) -> Path:
    """Write each Sample as two, of the spots of one colour; neighbours are those of that colour."""
    for path in sorted(file.parent for file in samples.glob(f"*/{MANIFEST}")):
        sample = open_sample(path)
        at = sample.adata.obs[["array_x", "array_y"]].to_numpy().round().astype(int).sum(axis=1)
        for parity, colour in enumerate(COLOURS):
            out = folder / f"{sample.name}_{colour}"
            if not (out / MANIFEST).exists():
                write_rows(sample, np.flatnonzero(at % 2 == parity), out)
    return folder


def write_rows(sample: Sample, rows: np.ndarray, out: Path) -> None:
    """Write some spots of a Sample as a Sample of its own."""
    partial = out.with_name(f".{out.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    settings = {**sample.manifest["settings"], "spots": len(rows)}
    adata = sample.adata[rows].copy()
    near = nearest_spots(adata.obsm["spatial"] * sample.mpp, settings["knn"])
    adata.obsm["neighbors"] = near
    adata.write_h5ad(partial / "adata.h5ad")
    np.save(partial / "patch_features.npy", sample.patch_features[rows])
    finish_sample(partial, out, {**sample.manifest, "name": out.name, "settings": settings})


def scores(
    halves: Path, work: Path, target: str, genes: str, students: Sequence[str]
) -> Iterator[pd.DataFrame]:
    """Yield r of every model, hidden half and gene."""
    splits = work / "splits.json"
    splits.write_text(json.dumps(folds(sorted(path.parent.name for path in halves.glob(f"*/{MANIFEST}")))))
    config = TrainConfig(
        cohort=CohortConfig(path=str(halves), genes=genes),
        splits=str(splits),
        target=target,
        labels=f"checkerboard_{target}",
        device="cpu",
        run_dir=str(work / "runs" / f"{target}_teacher"),
    )
    yield interpolations(open_cohort(halves, genes=genes, target=target))
    train(config, tell, track)
    yield of_run(config, MODELS)
    generate_labels(config, open_cohort(halves))
    for preset in students:
        student = replace(
            config,
            model="patch",
            splits=None,
            cohort=CohortConfig(path=str(halves)),
            preset=preset,
            run_dir=str(work / "runs" / f"{target}_{preset}"),
        )
        train(student, tell, track)
        yield of_run(student, {"patch": STUDENTS[preset]})


def folds(names: list[str]) -> dict[str, Any]:
    """Two folds: each colour is hidden once."""
    of = {colour: [name for name in names if name.endswith(colour)] for colour in COLOURS}
    white, black = of["white"], of["black"]
    return {
        "unit": "sample",
        "folds": [{"train": white, "val": [], "test": black}, {"train": black, "val": [], "test": white}],
    }


def of_run(config: TrainConfig, names: Mapping[str, str]) -> pd.DataFrame:
    table = pd.read_parquet(Path(config.run_dir or "") / "metrics.parquet")
    table = table[(table["metric"] == "pearson") & table["model"].isin(names)]
    return table.assign(model=[names[model] or model for model in table["model"]])


def interpolations(cohort: Cohort) -> pd.DataFrame:
    """Score what a section's own visible spots say of the hidden ones between them."""
    tables = []
    for name, hidden in cohort.samples.items():
        other = COLOURS[1 - COLOURS.index(name.rsplit("_", 1)[1])]
        seen = cohort.samples[f"{name.rsplit('_', 1)[0]}_{other}"]
        values = {s.name: target_values(s, cohort.target, cohort.genes) for s in (seen, hidden)}
        for how in METHODS:
            predicted = interpolate(
                seen.adata.obsm["spatial"], values[seen.name], hidden.adata.obsm["spatial"], how
            )
            about = {"repeat": 0, "fold": 0, "sample": name, "model": f"visible counts: {how}"}
            about["target"] = cohort.target.name
            tables.append(score_rows(predicted.astype(np.float32), values[name], cohort.genes, **about))
    table = pd.concat(tables)
    return table[table["metric"] == "pearson"]


def summarised(table: pd.DataFrame, target: str) -> list[dict[str, Any]]:
    """Rows of mean r a model and section: of the genes that it varies, and of those that all models vary.

    `undefined` of `of` genes, of both colours, are predicted or measured to be constant.
    """
    wide = table.pivot_table(index=["sample", "gene"], columns="model", values="value", dropna=False)
    sections = wide.index.get_level_values("sample").str.rsplit("_", n=1).str[0]
    shared = wide[wide.notna().all(axis=1)]
    return [
        {
            "target": target,
            "model": model,
            "section": section,
            "r": round(float(own[model].mean()), 4),
            "r_shared": round(float(own.loc[own.index.isin(shared.index), model].mean()), 4),
            "undefined": int(own[model].isna().sum()),
            "of": len(own),
        }
        for section, own in wide.groupby(sections)
        for model in wide.columns
    ]


def show(rows: list[dict[str, Any]]) -> None:
    for target in TARGETS:
        own = pd.DataFrame([row for row in rows if row["target"] == target])
        if own.empty:
            continue
        wide = own.pivot(index="model", columns="section", values="r")
        means = own.groupby("model")[["r", "r_shared", "undefined", "of"]].mean()
        lines = [
            (
                str(name),
                number(row["r"]),
                *map(number, wide.loc[name]),
                f"{row['undefined'] / row['of']:.0%}",
                number(row["r_shared"]),
            )
            for name, row in means.sort_values("r_shared", ascending=False).iterrows()
        ]
        show_table(
            f"{target}: r at hidden spots, mean over genes; shared: those that no model predicts constant",
            ["model", "r", *wide.columns, "undefined", "shared"],
            lines,
        )


if __name__ == "__main__":
    main()
