"""Runs against baselines and against each other, paired on the same genes and sections."""

from collections.abc import Sequence
from dataclasses import asdict, fields

import numpy as np
import pandas as pd

from miso.errors import MisoError
from miso.reports.boards import Board
from miso.reports.figures import FLOORS, LEVEL, ORACLES, unit_of
from miso.reports.gene_sets import GeneSet
from miso.reports.runs import FinishedRun
from miso.scores.aggregate import benchmark_mean
from miso.scores.paired import NOUNS, Difference, paired_difference

NO_FEATURES = ("coordinates", "mean")
"""Baselines that see no picture."""
SAME, ALL, OTHER = "strongest on the same features", "strongest of all baselines", ""


def compare(board: Board, gene_sets: Sequence[GeneSet]) -> pd.DataFrame:
    """Return one row a pair and gene set, of Pearson's r: `model`, `against`, `role`, and the difference.

    Every run stands against its own baselines and against the runs given after it. `role` names the strongest
    baseline on the same features, and the strongest one that is no oracle; which is strongest is read off the
    held-out scores, in the baselines' favour.
    """
    rows = []
    r = board.values[board.values["metric"] == "pearson"]
    for gene_set in gene_sets:
        values = gene_set.pick_to_average(r)
        means = benchmark_mean(values)["mean"]
        for index, run in enumerate(board.runs):
            roles = _roles(board, run, means)
            rivals = [*board.baselines[run.name].values(), *(later.name for later in board.runs[index + 1 :])]
            for rival in sorted(
                rivals, key=lambda name: (name not in roles, -np.nan_to_num(means[name], nan=-9))
            ):
                row = _row(board, values, run.name, rival)
                if row is not None:
                    row["n_genes"] = len(gene_set.genes)
                    rows.append({"gene_set": gene_set.name, "role": roles.get(rival, OTHER), **row})
    columns = ["gene_set", "role", "model", "against", *(field.name for field in fields(Difference))]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(0, "board", board.name)
    return table


def in_words(row: pd.Series) -> str:
    """Say a comparison in a sentence."""
    noun, n = NOUNS[row["unit"]], int(row["n_units"])
    difference = f"{row['mean']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
    if np.isfinite(row["relative_low"]):
        ends = f"[{row['relative_low']:+.1%}, {row['relative_high']:+.1%}]"
        difference = f"{row['relative']:+.1%} relative {ends}"
    role = f" ({row['role']})" if row["role"] else ""
    model, against = row["model"], f"{row['against']}{role}"
    if row["low"] > 0:
        verdict = f"{model} beats {against} by"
    elif row["high"] < 0:
        verdict = f"{model} loses to {against} by"
    else:
        verdict = f"{model} and {against} are not told apart:"
    return (
        f"{verdict} {difference.replace('%', ' %').replace('-', '−')}, n {noun}s = {n}, p = {row['p']:.3g} "
        f"(least possible {row['least_p']:.3g})"
    )


def _roles(board: Board, run: FinishedRun, means: pd.Series) -> dict[str, str]:
    """Name the strongest baselines of a run, by what they are called on the board."""
    rivals = {own: name for own, name in board.baselines[run.name].items() if own not in (*ORACLES, *FLOORS)}
    rivals = {own: name for own, name in rivals.items() if np.isfinite(means[name])}
    on_stain = run.encoder.partition("@")[0] == "stain"
    same = [
        name
        for own, name in rivals.items()
        if own not in NO_FEATURES and (on_stain or not own.startswith("stain"))
    ]
    roles = {}
    if rivals:
        roles[max(rivals.values(), key=lambda name: float(means[name]))] = ALL
    if same:
        roles[max(same, key=lambda name: float(means[name]))] = SAME
    return roles


def _row(board: Board, values: pd.DataFrame, model: str, against: str) -> dict[str, object] | None:
    """Compare two models; None where nothing is defined for both."""
    either = values[values["model"].isin([model, against])]
    try:
        found: Difference = paired_difference(either, model, against, unit=unit_of(board), level=LEVEL)
    except MisoError:
        return None
    pairs = len(either[either["model"] == model].drop_duplicates([unit_of(board), "gene"]))
    absent = found.of - pairs  # genes that another fold alone chose
    return {
        "model": model,
        "against": against,
        **asdict(found),
        "left_out": found.left_out - absent,
        "of": pairs,
    }
