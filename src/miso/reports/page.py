"""The page of a benchmark: boards, tables, violins, genes beside what was measured; all text escaped."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from miso.launch.provenance import flatten
from miso.reports.benchmark import Benchmark, BoardResult
from miso.reports.board_extras import extras
from miso.reports.comparisons import in_words
from miso.reports.figures import POOLED, POOLED_MEANING
from miso.reports.gene_sets import GeneSet
from miso.reports.published import CAVEAT
from miso.reports.runs import FinishedRun
from miso.reports.skeleton import render as render_page
from miso.reports.source_data import SourceData
from miso.scores.aggregate import gene_means
from miso.scores.metrics import metrics
from miso.scores.paired import NOUNS
from miso.training.baselines import BASELINES

MOST_NAMES = 500
"""Genes of a set that are listed."""
Rows = list[dict[str, Any]]


def render(found: Benchmark, pictures: Mapping[tuple[str, str], Path]) -> str:
    """Write the page; `pictures` by board and gene set are put inside it."""
    return render_page(
        "benchmark.html",
        runs=[_run(run) for run in found.runs],
        boards=[_board(result, found, pictures) for result in found.boards],
        published=[_published(found)] if found.published else [],
        published_caveat=CAVEAT,
        spreadsheets=[
            _spreadsheet(r, found.source_data[r.board.name]) for r in found.boards if found.source_data
        ],
        baselines=BASELINES,
    )


def _board(result: BoardResult, found: Benchmark, pictures: Mapping[tuple[str, str], Path]) -> dict[str, Any]:
    board, pairs = result.board, result.comparisons
    r = result.figures[result.figures["metric"] == "pearson"]
    sets = [gene_set.name for gene_set in result.gene_sets]
    first = pairs[(pairs["role"] != "") & (pairs["gene_set"] == sets[0])]
    return {
        "name": board.name,
        "target": board.target.name,
        "units": board.target.units,
        "n_genes": len(board.genes),
        "n_folds": len(board.folds),
        "n_sections": len(board.tested),
        "patients": board.tested_patients,
        "headlines": [in_words(row) for _, row in first.iterrows()],
        "sets": sets,
        "main": _main(r, sets),
        "caveats": result.caveats,
        "pictures": [
            {"name": s, "data": base64.b64encode(pictures[board.name, s].read_bytes()).decode()} for s in sets
        ],
        "pairs": {
            "": _pairs(pairs[(pairs["role"] != "") | pairs["against"].isin(board.run_names)]),
            "Against every baseline": _pairs(pairs),
        },
        "pair_caveats": list(dict.fromkeys(pairs["caveat"])),
        "models": board.models,
        "sections": _records(result.sections),
        "metrics": [_metrics(result.figures, gene_set) for gene_set in result.gene_sets],
        "metric_notes": _metric_notes(result.figures),
        "gene_sets": [_gene_set(gene_set) for gene_set in result.gene_sets],
        "folds": board.folds,
        **extras(result),
    }


def _pairs(pairs: pd.DataFrame) -> Rows:
    return [{**row, "units": f"{row['n_units']} {NOUNS[row['unit']]}s"} for row in _records(pairs)]


def _main(r: pd.DataFrame, sets: list[str]) -> Rows:
    """Return a row a model, with a cell a gene set; the best run or baseline of a set is marked."""
    contest = r[r["kind"].isin(["run", "baseline"])]
    best = contest.loc[contest.groupby("gene_set")["value"].idxmax().dropna()]
    winners = set(zip(best["gene_set"], best["model"], strict=True))
    rows: Rows = []
    for model in dict.fromkeys(r["model"]):
        of_model = r[r["model"] == model].set_index("gene_set")
        cells = [
            {**of_model.loc[name].to_dict(), "best": (name, model) in winners}
            if name in of_model.index
            else None
            for name in sets
        ]
        rows.append({"model": model, "kind": of_model["kind"].iloc[0], "cells": cells})
    return rows


def _metrics(figures: pd.DataFrame, gene_set: GeneSet) -> dict[str, Any]:
    chosen = figures[figures["gene_set"] == gene_set.name]
    names = list(dict.fromkeys(chosen["metric"]))
    wide = chosen.pivot(index="model", columns="metric", values="value")
    models = list(dict.fromkeys(chosen["model"]))
    better = dict(zip(chosen["metric"], chosen["better"], strict=True))
    return {
        "name": gene_set.name,
        "columns": [{"name": name, "better": better[name]} for name in names],
        "rows": [{"model": m, "values": [wide.loc[m, name] for name in names]} for m in models],
    }


def _metric_notes(figures: pd.DataFrame) -> Rows:
    known = {name: metrics[name] for name in metrics}
    notes = [
        {"name": name, "definition": known[name].definition, "source": known[name].source}
        for name in dict.fromkeys(figures["metric"])
        if name in known
    ]
    return [*notes, {"name": POOLED, "definition": POOLED_MEANING, "source": ""}]


def _gene_set(gene_set: GeneSet) -> dict[str, Any]:
    same = all(genes == gene_set.by_fold[0] for genes in gene_set.by_fold)
    lists = gene_set.by_fold[:1] if same else gene_set.by_fold
    return {
        "name": gene_set.name,
        "recipe": gene_set.recipe,
        "n": len(gene_set.genes),
        "lists": [
            {
                "title": "every fold" if same else f"fold {fold}",
                "genes": ", ".join(genes[:MOST_NAMES]),
                "more": max(0, len(genes) - MOST_NAMES),
            }
            for fold, genes in enumerate(lists)
        ],
    }


def _run(run: FinishedRun) -> dict[str, Any]:
    settings = flatten({key: value for key, value in run.settings.items() if key != "inputs"})
    return {
        "name": run.name,
        "target": run.settings["target"],
        "folder": str(run.folder.path),
        "encoder": run.encoder,
        "settings": {key: "–" if value is None else str(value) for key, value in settings.items()},
        "made": run.made,
    }


def _published(found: Benchmark) -> dict[str, Any]:
    """Set our runs above the published figures, and not among them: that would be a ranking."""
    sets = list(found.published[0].pearson)
    rows: Rows = []
    for result in found.boards:
        figures = result.figures[(result.figures["metric"] == "pearson") & (result.figures["kind"] == "run")]
        wide = figures.pivot(index="model", columns="gene_set", values="value").reindex(columns=sets)
        source = (
            f"this benchmark: {result.board.target.name}, {len(result.board.tested)} sections, "
            f"{len(result.board.genes)} genes"
        )
        rows += [
            {"model": str(model), "values": list(values), "source": source, "ours": True}
            for model, values in zip(wide.index, wide.to_numpy(), strict=True)
        ]
    rows += [
        {"model": m.model, "values": [m.pearson[name] for name in sets], "source": m.source, "ours": False}
        for m in found.published
    ]
    return {"sets": sets, "rows": rows}


def _spreadsheet(result: BoardResult, data: SourceData) -> dict[str, Any]:
    """Set a spreadsheet's models beside our runs, sheet by sheet, on the genes that the sheet has."""
    values = result.board.values
    ours = gene_means(values[(values["metric"] == "pearson") & values["model"].isin(result.board.run_names)])
    rows: Rows = []
    for sheet, table in data.table.groupby("sheet", sort=False):
        means = table.groupby("model")["value"].agg(["mean", "size"])
        theirs = [{"model": m, "mean": r, "size": n, "ours": False} for m, r, n in means.itertuples()]
        common = ours.reindex(table["gene"].unique())
        own = [{"model": m, "mean": r.mean(), "size": r.count(), "ours": True} for m, r in common.items()]
        ranked = sorted([*theirs, *own], key=lambda row: -np.nan_to_num(row["mean"], nan=-9.0))
        rows += [{"sheet": str(sheet), **row} for row in ranked]
    return {
        "board": result.board.name,
        "file": data.path.name,
        "layouts": data.layouts,
        "passed_over": data.passed_over,
        "means": rows,
        "repairs": data.repairs,
        "unmatched": data.unmatched,
    }


def _records(table: pd.DataFrame) -> Rows:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
