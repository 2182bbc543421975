"""What a reader of a board has to know before believing it: one sentence each."""

from collections.abc import Sequence

import pandas as pd

from miso.reports.boards import Board
from miso.reports.gene_sets import GeneSet
from miso.samples.genes import HER2ST_PANEL
from miso.samples.splits import HER2ST_FOLDS

BENCHMARK_SECTIONS, BENCHMARK_PATIENTS = 36, 8
STRONGEST = "Which baseline is the strongest is read off the held-out scores, which favours the baselines."
RAW = (
    "On raw counts much of r is knowing how many molecules a spot has; total-count is an oracle that reads "
    "the held-out section's own totals, and no predictor."
)
CEILING = (
    "The noise ceiling is an estimate from halves of the molecules; it speaks of counting noise alone, and "
    "of r on this target."
)


def caveats(
    board: Board, gene_sets: Sequence[GeneSet], figures: pd.DataFrame, ceiling_note: str
) -> list[str]:
    """Return the caveats of a board, the gravest first."""
    said = [*_patients(board), *_benchmark(board), *_undefined(board, figures)]
    said += [note for run in board.runs for note in run.splits.get("notes", [])]
    if board.target.name == "raw":
        said.append(RAW)
    if any(gene_set.varies for gene_set in gene_sets):
        said.append(
            "Gene sets that are chosen fold by fold differ between folds: a gene counts as often as folds "
            "chose it, and their intervals take it for another gene in every fold."
        )
    said += [STRONGEST] if any(board.baselines.values()) else ["These runs were trained without baselines."]
    return list(dict.fromkeys([*said, ceiling_note or CEILING]))


def _patients(board: Board) -> list[str]:
    patients, n = board.tested_patients, len(board.tested)
    said = []
    if len(patients) == 1:
        said.append(
            f"{n} section{'s' * (n > 1)} of one patient ({patients[0]}) held out: nothing here speaks of "
            "another patient."
        )
    if _patient_seen(board):
        said.append(
            "Other sections of a held-out section's patient were trained on. Neighbouring cuts test location "
            "as much as morphology; the baseline coordinates sees no picture at all."
        )
    return said


def _patient_seen(board: Board) -> bool:
    def patients(fold: dict[str, list[str]], *parts: str) -> set[str]:
        return {board.samples[name].patient for part in parts for name in fold[part]}

    return any(patients(fold, "train", "val") & patients(fold, "test") for fold in board.folds)


def _benchmark(board: Board) -> list[str]:
    settings = board.runs[0].settings
    if settings["splits"] != HER2ST_FOLDS and settings["cohort"]["genes"] != HER2ST_PANEL:
        return []
    sections, patients = len(board.tested), len(board.tested_patients)
    if sections >= BENCHMARK_SECTIONS:
        return []
    return [
        f"{sections} of the benchmark's {BENCHMARK_SECTIONS} sections and {patients} of its "
        f"{BENCHMARK_PATIENTS} patients were held out: these figures do not stand in for the benchmark's."
    ]


def _undefined(board: Board, figures: pd.DataFrame) -> list[str]:
    r = figures[(figures["metric"] == "pearson") & (figures["gene_set"] == figures["gene_set"].iloc[0])]
    counted = [
        f"{row['model']} {row['undefined']}/{row['of']}" for _, row in r.iterrows() if row["undefined"] > 0
    ]
    if not counted:
        return []
    return [
        f"Undefined values of r on {board.name} (either side constant) are counted and in no mean: "
        f"{', '.join(counted)}."
    ]
