"""Leave one section out over HER2ST C2–C5: MISO and every baseline, on raw and on log1p-CP10k counts.

Prints, for the `stain` encoder's features and the 785-gene panel, the mean over genes of the per-section
Pearson r, each model trained on the target it is scored on, and writes it to benchmarks/results/. The four
sections are neighbouring cuts of one patient: this says nothing of another patient.

    .venv/bin/python benchmarks/real_sections.py --data her2st-download --work work
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from miso.training import CohortConfig, TrainConfig, train
from miso.verbs._process_batch import process_her2st_folder
from miso.verbs._process_options import ProcessOptions
from miso.verbs.console import number, show_table, tell, track

TARGETS = ("raw", "log1p_cp10k")
PRESETS = ("default", "published")
ORDER = (
    "default",
    "published",
    "ridge+neighbours",
    "stain+ridge",
    "pca+ridge",
    "coordinates",
    "permutation",
    "total-count",
)
RESULTS = Path(__file__).parent / "results" / "real_sections.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of HER2ST with sections C2 to C5")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for a copy, the Samples and the runs"
    )
    args = parser.parse_args()
    data = copy_of(args.data, args.work)
    options = ProcessOptions(encoder="stain", device="cpu")
    process_her2st_folder(data, [], options)
    table = pd.concat(run(data, args.work, target, preset) for target in TARGETS for preset in PRESETS)
    show(table)


def copy_of(data: Path, work: Path) -> Path:
    """Copy the dataset, which is never written to."""
    target = work / "her2st"
    if not target.is_dir():
        shutil.copytree(data, target, copy_function=shutil.copyfile)
    return target


def run(data: Path, work: Path, target: str, preset: str) -> pd.DataFrame:
    """Train and score one preset on one target; the baselines are fitted once."""
    config = TrainConfig(
        cohort=CohortConfig(path=str(data / "processed_data"), genes="her2st_panel"),
        splits="leave_one_sample_out",
        target=target,
        preset=preset,
        baselines=preset == "default",
        run_dir=str(work / "runs" / f"{target}_{preset}"),
    )
    summary = train(config, tell, track)
    names = {"miso": preset}
    return pd.DataFrame(
        [
            {
                "model": names.get(name, name),
                "target": target,
                "r": row["pearson"],
                **row["pearson_by_sample"],
                "undefined": f"{row['undefined']}/{row['of']}",
            }
            for name, row in summary.items()
        ]
    )


def show(table: pd.DataFrame) -> None:
    wide = {target: rows.set_index("model") for target, rows in table.groupby("target")}
    sections = [name for name in table.columns if name not in ("model", "target", "r", "undefined")]
    for target in TARGETS:
        rows = [
            (
                name,
                number(wide[target].loc[name, "r"], 4),
                *(number(wide[target].loc[name, s]) for s in sections),
                str(wide[target].loc[name, "undefined"]),
            )
            for name in ORDER
        ]
        show_table(
            f"{target}: held-out Pearson r, mean over genes", ["model", "r", *sections, "undefined"], rows
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(records(table), indent=1) + "\n")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: null where there is no figure."""
    rounded = table.round(4).astype(object)
    return rounded.where(rounded.notna(), None).to_dict("records")


if __name__ == "__main__":
    main()
