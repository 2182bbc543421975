"""Correlations by gene read from a spreadsheet, such as the source data of Wang et al. (2025)."""

import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import ParseError

import pandas as pd

from miso.errors import ConfigError
from miso.reports.gene_names import Panel
from miso.reports.sheet_layout import Cell, Reading, read_cell, read_layout

COLUMNS = ["sheet", "model", "gene", "value"]
MAX_ROWS = 200_000
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, ParseError, EOFError, RuntimeError),  # the last: encrypted
    *(LookupError, ValueError, TypeError, AttributeError, OverflowError),  # openpyxl on odd content
)
"""What reading a damaged workbook raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A gene name that was damaged: where, as it was found, what it was, and what had happened to it."""

    sheet: str
    found: str
    gene: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """A name that is no gene of the panel, and why not."""

    sheet: str
    found: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceData:
    """What a spreadsheet holds.

    Attributes
    ----------
    table
        Tidy: sheet, model, gene, value (Pearson's r).
    layouts
        By sheet that was read, how its table is laid out.
    passed_over
        Sheets without such a table.
    """

    path: Path
    table: pd.DataFrame
    layouts: dict[str, str]
    passed_over: list[str]
    repairs: list[Repair] = field(default_factory=list)
    unmatched: list[Unmatched] = field(default_factory=list)


def read_source_data(path: Path, genes: Sequence[str]) -> SourceData:
    """Find the tables of correlation by gene in a workbook, and repair gene names against a panel.

    Read are sheets with a column of genes and one a model, their transpose, and long ones (gene, model,
    correlation); titles above a table do not matter.

    Raises
    ------
    ConfigError
        If the file is no workbook, or none of its sheets holds such a table.
    """
    panel, tables, layouts = Panel(genes), list[pd.DataFrame](), dict[str, str]()
    repairs, unmatched, passed_over = list[Repair](), list[Unmatched](), list[str]()
    for sheet, rows in _sheets(path).items():
        reading = read_layout(rows, panel)
        if reading is None:
            passed_over.append(sheet)
            continue
        layouts[sheet] = reading.layout
        tables.append(_matched(sheet, reading, panel, repairs, unmatched))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    if table.empty:
        raise ConfigError(
            f"no correlations of these genes in {path} (sheets: {', '.join(passed_over + list(layouts))}); "
            "expected a column 'gene' and one column a model, or columns gene, model and correlation"
        )
    return SourceData(
        path=path,
        table=table,
        layouts=layouts,
        passed_over=passed_over,
        repairs=repairs,
        unmatched=unmatched,
    )


def _matched(
    sheet: str, reading: Reading, panel: Panel, repairs: list[Repair], unmatched: list[Unmatched]
) -> pd.DataFrame:
    """Give values the panel's names; a gene's intact row counts before a repaired one."""
    names = list(dict.fromkeys(reading.values["gene"]))
    matches = {name: panel.match(name) for name in names}
    taken: dict[str, str] = {}
    for name in sorted(names, key=lambda name: matches[name].reason != ""):
        match = matches[name]
        if match.gene is None:
            unmatched.append(Unmatched(sheet=sheet, found=name, reason=match.reason))
        elif match.gene in taken.values():
            unmatched.append(Unmatched(sheet=sheet, found=name, reason=f"{match.gene} has a row already"))
        else:
            taken[name] = match.gene
            if match.reason:
                repairs.append(Repair(sheet=sheet, found=name, gene=match.gene, reason=match.reason))
    values = reading.values[reading.values["gene"].isin(taken)].assign(sheet=sheet)
    values["gene"] = values["gene"].map(taken)
    return values.groupby(["sheet", "model", "gene"], sort=False)["value"].mean().reset_index()[COLUMNS]


def _sheets(path: Path) -> dict[str, list[list[Cell]]]:
    """Read every sheet; what a formula came to counts, not the formula."""
    import openpyxl

    if not path.is_file():
        raise ConfigError(f"no spreadsheet at {path} (--source-data)")
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of features that no table needs
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            return {
                sheet.title: [[read_cell(cell) for cell in row] for row in sheet.iter_rows(max_row=MAX_ROWS)]
                for sheet in book.worksheets
            }
    except DAMAGE as err:
        raise ConfigError(f"{path} is no workbook that can be read ({err}); give an .xlsx file") from err
