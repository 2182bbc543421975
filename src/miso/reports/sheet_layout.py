"""How a sheet lays out correlations by gene: a column a model, a row a model, or a row a value."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from miso.reports.gene_names import Panel

GENE = {"gene", "genes", "gene name", "gene names", "gene symbol", "symbol", "gene id", "feature", "features"}
MODEL = {"model", "models", "method", "methods", "tool", "algorithm"}
CORRELATION = {"pearson", "pearson r", "pearson correlation", "correlation", "cor", "corr", "pcc", "r"}
VALUE = (*sorted(CORRELATION), "value", "values", "score", "mean", "estimate")
METRIC = {"metric", "metrics", "measure", "statistic"}
NO_MODEL = {
    *{
        "ssim",
        "rmse",
        "nrmse",
        "mse",
        "mae",
        "js",
        "jsd",
        "mi",
        "auc",
        "spearman",
        "rank",
        "index",
        "sd",
        "se",
    },
    *{"p", "pval", "pvalue", "value", "padj", "fdr", "variance", "fold", "sample", "dataset", "metric"},
}
"""Last words of headers that name no model's correlations."""
ENDS = r"(?:pcc|corr?|correlation|pearson(?:'s)?(?: r)?)"
HEADER_ROWS, LEAST_GENES, LEAST_SHARE = 30, 3, 0.5
LARGEST_R = 1 + 1e-6
MONEY = re.compile(r"\[\$([A-Z]{3}|£)|\"([A-Z]{3})\s*\"|(£)")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as it reads: its text, and its number where it is one."""

    text: str
    number: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A sheet's table in rows of gene (as it is spelt), model and value, and how it was laid out."""

    layout: str
    values: pd.DataFrame


Rows = Sequence[Sequence[Cell]]
Triples = Iterable[tuple[str, str, float]]


def read_cell(cell: Any) -> Cell:
    """Read a cell of openpyxl; an amount of money keeps its currency, which may be a gene's letters."""
    value = cell.value
    if value is None:
        return Cell("")
    if isinstance(value, bool | datetime) or not isinstance(value, int | float | str):
        return Cell(str(value))
    if isinstance(value, str):
        return Cell(value.strip(), _number(value))
    money = MONEY.search(str(cell.number_format))
    currency = next(filter(None, money.groups()), "") if money else ""
    return Cell(f"{currency} {value:.2f}" if currency else f"{value:.10g}", float(value))


def read_layout(rows: Rows, panel: Panel) -> Reading | None:
    """Find a table of correlations in a sheet; None where there is none."""
    for layout, find in (
        ("gene, model, value", _long),
        ("a column a model", _columns),
        ("a row a model", _rows),
    ):
        found = list(find(rows, panel))
        genes = {gene for gene, _, _ in found}
        if sum(panel.match(gene).gene is not None for gene in genes) >= min(LEAST_GENES, len(panel.genes)):
            return Reading(layout=layout, values=pd.DataFrame(found, columns=["gene", "model", "value"]))
    return None


def _long(rows: Rows, panel: Panel) -> Triples:
    for at, heads in _heads(rows):
        gene, model, value = (_column(heads, names) for names in (GENE, MODEL, VALUE))
        if gene is None or model is None or value is None:
            continue
        metric = _column(heads, METRIC)
        for row in _filled(rows[at + 1 :], len(heads)):
            if metric is not None and _plain(row[metric].text) not in CORRELATION:
                continue
            yield from _one(row[gene], row[model].text, row[value])
        return


def _columns(rows: Rows, panel: Panel) -> Triples:
    at, gene = _gene_column(rows, panel)
    if gene is None:
        return
    heads, body = rows[at], list(_filled(rows[at + 1 :], len(rows[at])))
    body = [row for row in body if row[gene].text]
    for column, head in enumerate(heads):
        numbers = [row[column].number for row in body]
        if column == gene or not _names_model(head) or not _are_correlations(numbers):
            continue
        for row in body:
            yield from _one(row[gene], head.text, row[column])


def _rows(rows: Rows, panel: Panel) -> Triples:
    for at, row in enumerate(rows[:HEADER_ROWS]):
        genes = [column for column, cell in enumerate(row) if panel.match(cell.text).gene is not None]
        if len(genes) < LEAST_GENES or len(genes) < LEAST_SHARE * sum(bool(cell.text) for cell in row):
            continue
        model = _column([_plain(cell.text) for cell in row], MODEL) or 0
        named = [column for column, cell in enumerate(row) if cell.text and column >= genes[0]]
        for below in _filled(rows[at + 1 :], len(row)):
            if below[model].text and _are_correlations([below[column].number for column in named]):
                for column in named:
                    yield from _one(row[column], below[model].text, below[column])
        return


def _gene_column(rows: Rows, panel: Panel) -> tuple[int, int | None]:
    """Find the header row and the column of genes, by its header or, without one, by what it holds."""
    for at, heads in _heads(rows):
        if (column := _column(heads, GENE)) is not None:
            return at, column
    width = max((len(row) for row in rows), default=0)
    for column in range(width):
        cells = [(at, row[column].text) for at, row in enumerate(rows) if column < len(row)]
        hits = [at for at, text in cells if text and panel.match(text).gene is not None]
        if len(hits) >= LEAST_GENES and len(hits) >= LEAST_SHARE * sum(bool(t) for _, t in cells) and hits[0]:
            return hits[0] - 1, column
    return 0, None


def _heads(rows: Rows) -> Iterable[tuple[int, list[str]]]:
    return ((at, [_plain(cell.text) for cell in row]) for at, row in enumerate(rows[:HEADER_ROWS]))


def _column(heads: Sequence[str], names: Iterable[str]) -> int | None:
    return next((heads.index(name) for name in names if name in heads), None)


def _filled(rows: Rows, width: int) -> Iterable[Sequence[Cell]]:
    """Lengthen short rows: a sheet leaves out empty cells at the end."""
    return ([*row, *[Cell("")] * (width - len(row))] for row in rows)


def _plain(text: str) -> str:
    return re.sub(r"[\s_.\-]+", " ", text).strip().lower()


def _names_model(head: Cell) -> bool:
    words = _plain(head.text).split()
    return bool(words) and head.number is None and words[-1] not in NO_MODEL


def _are_correlations(numbers: Sequence[float | None]) -> bool:
    there = [number for number in numbers if number is not None]
    return len(there) > 0 and all(abs(number) <= LARGEST_R for number in there)


def _one(gene: Cell, model: str, value: Cell) -> Triples:
    if gene.text and model and value.number is not None and abs(value.number) <= LARGEST_R:
        name = re.sub(rf"^{ENDS}[\s_.:-]+|[\s_.:-]+{ENDS}$", "", model, flags=re.IGNORECASE)
        yield gene.text, name, value.number


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number == number else None
