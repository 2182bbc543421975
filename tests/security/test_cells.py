"""Tables that go out: what a spreadsheet would run as a formula is text, and numbers stay numbers."""

import csv
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import miso
from miso.untrusted.cells import plain_cell, plain_cells

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+SUM(1,1)",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    '=HYPERLINK("http://x","y")',
]
PAGE = Path(miso.__file__).parent / "view" / "page" / "tabletext.js"


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_begins_like_a_formula_begins_with_an_apostrophe(text):
    assert plain_cell(text) == "'" + text.replace("\r", " ").replace("\n", " ")


def test_text_that_would_begin_a_row_with_a_formula_stays_on_its_own():
    assert plain_cell("x\r\n=1") == "x =1"


@pytest.mark.parametrize("value", ["KRT8", "", "HLA-A", "a@b", -1.5, -3, np.float32(-2), None, True])
def test_other_cells_stay_what_they_are(value):
    assert plain_cell(value) == value
    assert type(plain_cell(value)) is type(value)


def test_table_goes_out_without_a_formula_and_with_its_numbers(tmp_path):
    table = pd.DataFrame(
        {
            "gene": [*FORMULAS, "KRT8"],
            "r": np.linspace(-1, 1, 10),
            "n": np.arange(-4, 6),
            "mixed": [-1, "-1", None, np.nan, "=1", True, 2.5, "x", -0.0, "y"],
            "group": pd.Categorical(["=1", "+1", "a", "b", "c"] * 2),
            "=SUM(A1)": "@x",
        },
        index=[*FORMULAS, "z"],
    )
    plain_cells(table).to_csv(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    texts = [row[i] for row in rows for i in (0, 1, 4, 5, 6)] + rows[0]
    assert not [text for text in texts if text.startswith(("=", "+", "@", "\t", "\r", "\n"))]
    assert [text for text in texts if text.startswith("-")] == ["-1", "-0.0"]  # the numbers of `mixed`
    assert np.allclose([float(row[2]) for row in rows[1:]], np.linspace(-1, 1, 10))
    assert [int(row[3]) for row in rows[1:]] == list(range(-4, 6))
    assert table["gene"].tolist() == [*FORMULAS, "KRT8"]  # the caller's own is as it was


def test_every_table_of_words_of_others_goes_out_through_plain_cells():
    root = Path(miso.__file__).parent
    numbers_and_words_of_ours = {"training/history.py", "verbs/_tiles.py", "verbs/_demo.py"}
    read_back_by_us = {"verbs/_process_batch.py", "verbs/_table.py"}
    calls = (".to_csv(", "csv.writer(", "DictWriter(", ".to_excel(")
    found = {
        f"{path.relative_to(root)}: {line.strip()}"
        for path in root.rglob("*.py")
        if path.relative_to(root).parts[0] != "phantom"  # which writes what vendors write
        and str(path.relative_to(root)) not in numbers_and_words_of_ours | read_back_by_us
        for line in path.read_text().splitlines()
        if any(call in line for call in calls) and "plain_cells(" not in line
    }
    assert not found, "put plain_cells() round the table, or say here why its words are ours"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("text", FORMULAS)
def test_the_viewers_table_has_no_formula_either(text, tmp_path):
    (tmp_path / "t.mjs").write_text(
        PAGE.read_text() + "\nconsole.log(JSON.stringify(cell(process.argv[2])));"
    )
    done = subprocess.run(
        ["node", str(tmp_path / "t.mjs"), text], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.startswith(("\"'", '"\\"\''))


def test_the_viewers_table_takes_for_a_formula_what_we_do():
    assert r"/^\s*[=+\-@]|^[\t\r\n]/" in PAGE.read_text()
