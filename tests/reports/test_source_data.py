"""Spreadsheets of correlations by gene, in every layout that is read, and what is refused."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from miso.reports.source_data import SourceData, read_source_data

PANEL = ["GBP1", "HLA-B", "MARCHF1", "SEPTIN2", "ERBB2", "FASN"]
Refusal = Callable[[Callable[[], object]], str]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., SourceData]:
    """Write a workbook of sheets, each a list of rows, and read it."""

    def write_and_read(**sheets: list[list[object]]) -> SourceData:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title, rows in sheets.items():
            sheet = book.create_sheet(title)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / "source.xlsx")
        return read_source_data(tmp_path / "source.xlsx", PANEL)

    return write_and_read


def values(data: SourceData) -> dict[tuple[str, str], float]:
    return {(row.model, row.gene): row.value for row in data.table.itertuples()}


WIDE: list[list[object]] = [
    ["Fig. 2b: correlation by gene"],
    [],
    ["gene", "EGNv2", "DeepPT_cor", "EGNv2_SSIM", "rank"],
    ["GBP 1.00", 0.1, 0.2, 0.9, 1],
    ["HLA.B", 0.3, "NA", 0.9, 2],
    [datetime(2024, 3, 1), 0.5, -0.1, 0.9, 3],
    ["ERBB2", 0.4, 0.6, 0.9, 4],
    ["NOTAGENE", 0.4, 0.6, 0.9, 5],
]


def test_a_sheet_with_a_column_a_model_is_read_below_its_title(read: Callable[..., SourceData]) -> None:
    data = read(Fig2=WIDE)
    assert values(data) == {
        ("EGNv2", "GBP1"): 0.1,
        ("EGNv2", "HLA-B"): 0.3,
        ("EGNv2", "MARCHF1"): 0.5,
        ("EGNv2", "ERBB2"): 0.4,
        ("DeepPT", "GBP1"): 0.2,
        ("DeepPT", "MARCHF1"): -0.1,
        ("DeepPT", "ERBB2"): 0.6,
    }
    assert data.layouts == {"Fig2": "a column a model"}


def test_every_repair_is_listed_and_every_unmatched_name_named(read: Callable[..., SourceData]) -> None:
    data = read(Fig2=WIDE)
    assert [(r.found, r.gene) for r in data.repairs] == [
        ("GBP 1.00", "GBP1"),
        ("HLA.B", "HLA-B"),
        ("2024-03-01 00:00:00", "MARCHF1"),
    ]
    assert [name.found for name in data.unmatched] == ["NOTAGENE"]


def test_a_cell_that_is_an_amount_of_money_was_a_gene(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in WIDE[2:]:
        book.active.append(row)
    book.active["A2"] = 1
    book.active["A2"].number_format = "[$GBP] #,##0.00"
    book.save(tmp_path / "money.xlsx")
    data = read_source_data(tmp_path / "money.xlsx", PANEL)
    assert values(data)["EGNv2", "GBP1"] == 0.1


def test_a_long_sheet_keeps_to_rows_of_pearson_and_averages_repeats(read: Callable[..., SourceData]) -> None:
    rows: list[list[object]] = [
        ["Gene", "Method", "Metric", "Value"],
        *([gene, "EGNv2", "PCC", 0.5] for gene in PANEL),
        ["ERBB2", "EGNv2", "PCC", 0.7],
        *([gene, "EGNv2", "SSIM", 0.1] for gene in PANEL),
    ]
    data = read(long=rows)
    assert values(data)["EGNv2", "ERBB2"] == pytest.approx(0.6)
    assert values(data)["EGNv2", "FASN"] == 0.5
    assert data.layouts == {"long": "gene, model, value"}


def test_a_sheet_with_a_row_a_model_is_read(read: Callable[..., SourceData]) -> None:
    data = read(
        t=[["method", *PANEL], ["EGNv2", *[0.1] * 6], ["iStar", *[0.2] * 5, "NA"], ["total", *[9] * 6]]
    )
    assert values(data)["iStar", "ERBB2"] == 0.2
    assert ("iStar", "FASN") not in values(data)
    assert set(data.table["model"]) == {"EGNv2", "iStar"}


def test_genes_are_found_without_a_header(read: Callable[..., SourceData]) -> None:
    data = read(t=[["", "EGNv2"], *([gene, 0.25] for gene in PANEL)])
    assert values(data) == {("EGNv2", gene): 0.25 for gene in PANEL}


def test_an_intact_row_counts_before_a_damaged_one(read: Callable[..., SourceData]) -> None:
    data = read(t=[["gene", "m"], ["HLA.B", 0.9], ["HLA-B", 0.1], ["ERBB2", 0.2], ["FASN", 0.3]])
    assert values(data)["m", "HLA-B"] == 0.1
    assert [(u.found, u.reason) for u in data.unmatched] == [("HLA.B", "HLA-B has a row already")]


def test_sheets_without_a_table_are_passed_over_and_named(read: Callable[..., SourceData]) -> None:
    data = read(Fig2=WIDE, notes=[["nothing here"], [1, 2]], empty=[])
    assert data.passed_over == ["notes", "empty"]


@pytest.mark.parametrize("content", [b"", b"no workbook", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_workbook_is_refused_in_one_line(
    content: bytes, tmp_path: Path, refusal: Refusal
) -> None:
    file = tmp_path / "damaged.xlsx"
    file.write_bytes(content)
    said = refusal(lambda: read_source_data(file, PANEL))
    assert "damaged.xlsx" in said
    assert ".xlsx file" in said


def test_a_damaged_workbook_never_ends_in_a_traceback(
    tmp_path: Path, refusal: Refusal, spoil: Callable[..., bytes], read: Callable[..., SourceData]
) -> None:
    read(Fig2=WIDE)
    whole = (tmp_path / "source.xlsx").read_bytes()
    for trial in range(60):
        (tmp_path / "spoilt.xlsx").write_bytes(spoil(whole, trial))
        refusal(lambda: read_source_data(tmp_path / "spoilt.xlsx", PANEL))  # raises if it is our own fault


def test_no_file_and_no_table_say_what_is_expected(
    tmp_path: Path, refusal: Refusal, read: Callable[..., SourceData]
) -> None:
    assert "no spreadsheet at" in refusal(lambda: read_source_data(tmp_path / "none.xlsx", PANEL))
    said = refusal(lambda: read(notes=[["nothing"]]))
    assert "(sheets: notes)" in said
    assert "a column 'gene'" in said
