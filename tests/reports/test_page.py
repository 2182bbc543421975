"""The benchmark's page: it loads nothing, it is small, and whatever has a name is shown as text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from miso.reports.benchmark import benchmark, write_benchmark

WriteRun = Callable[..., Path]
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{ 7 * 7 }}",
    "$x^2$",
    "HLA-B",
    "A&B",
]
ReadPage = Callable[[str], Any]
Page = tuple[str, Any]


@pytest.fixture(scope="module")
def page(write_run_anywhere: WriteRun, tmp_path_factory: pytest.TempPathFactory, read_page: ReadPage) -> Page:
    """The page of two runs on hostile gene names, with a spreadsheet and a gene list of the same."""
    tmp_path = tmp_path_factory.mktemp("page")
    run = write_run_anywhere(tmp_path, genes=HOSTILE)
    (tmp_path / "<b>list.txt").write_text("\n".join(f'"{g.replace(chr(34), chr(34) * 2)}"' for g in HOSTILE))
    book = openpyxl.Workbook()
    rows = [["gene", "<i>model</i>"], *([gene, 0.5] for gene in HOSTILE), ["HLA.B<u>", 0.1]]
    for row in rows:
        book.active.append(row)
    book.active.title = "<s>sheet"
    book.save(tmp_path / "<em>.xlsx")
    found = benchmark(
        [run],
        wanted=["all", "hvg_3", str(tmp_path / "<b>list.txt")],
        published=True,
        source_data=tmp_path / "<em>.xlsx",
    )
    text = write_benchmark(found, tmp_path / "out").read_text()
    return text, read_page(text)


def test_the_page_loads_nothing_and_holds_its_violins(page: Page) -> None:
    text, _ = page
    assert text.count('alt="Violins of Pearson') == 3


def test_hostile_names_are_shown_as_text(page: Page) -> None:
    text, reader = page
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    for name in HOSTILE:
        assert name in reader.text
    assert not {"b>list", "i>", "em", "s", "u"} & set(reader.tags)
    assert "<i>model</i>" in reader.text


def test_the_page_shows_genes_measured_beside_predicted_and_sums_up_the_cohort(page: Page) -> None:
    text, reader = page
    assert text.count(", measured&#34;") + text.count(', measured"') == 6
    assert "among the best, mean r" in reader.text
    assert "among the worst, mean r" in reader.text
    for heading in ("Cohort", "Best and worst genes", "Each gene", "Uncertainty", "Training"):
        assert heading in reader.text
    assert "nothing is known" in reader.text  # a run made by hand has no checkpoints


def test_the_page_says_what_a_sceptic_asks(page: Page) -> None:
    _, reader = page
    for wanted in (
        "strongest on the same features",
        "noise ceiling",
        "permutation",
        "undefined",
        "Read with care",
        "stain@1",
        "Published figures",
        "was scored against its own target",
        "EGNv2",
        "Folds",
        "Each held-out section",
        "Gene names repaired",
    ):
        assert wanted in reader.text


def test_the_page_is_small(page: Page) -> None:
    assert len(page[0].encode()) < 3e6
