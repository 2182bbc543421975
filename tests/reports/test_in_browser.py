"""Pages in a real browser: tables sort and filter by mouse and keys, nothing is blocked, all prints."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from miso.reports.skeleton import render

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
HOSTILE = '"><img src=x onerror="document.title=`run`">'
ROWS = [("G10", 0.5, "A"), ("G9", -0.25, "B"), (HOSTILE, None, "A"), *((f"N{i}", 0.1, "C") for i in range(7))]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map's page with a table of genes; pictures and commands left out."""
    genes = [
        {
            "gene": name,
            "grade": grade,
            "r_cv": r,
            "r_low": r,
            "sections": 4,
            "ceiling": None,
            "interval": False,
        }
        for name, r, grade in ROWS
    ]
    text = render(
        "map.html",
        name=HOSTILE,
        facts=[("slide", HOSTILE)],
        novelty={"of_slide": 2.0, "beyond": None, "picture": None, "limits": None},
        slide=_Dot,
        genes=[],
        table=genes,
        units="counts",
        calibration=None,
        level=0.9,
        graded=True,
        ramps={},
        commands=[],
        provenance=[],
    )
    file = tmp_path_factory.mktemp("page") / "m.html"
    file.write_text(text)
    return file


class _Dot:
    """A picture of one pixel."""

    width, height = 1, 1
    uri = "data:image/gif;base64,R0lGODlhAQABAAAAACw="


@pytest.fixture(scope="module")
def page(page_file: Path) -> Iterator["Page"]:
    """The page, opened from disk; what the console says is an error."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page, said, asked = browser.new_page(), list[str](), list[str]()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        yield page
        assert said == []  # the policy has blocked nothing
        assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
        browser.close()


def column(page: "Page", index: int) -> list[str]:
    cells = page.locator(f"table:not(.plain) tbody tr:visible td:nth-child({index})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_a_heading_sorts_numbers_from_the_largest_and_again_from_the_smallest(page: "Page") -> None:
    heading = page.get_by_role("columnheader", name=re.compile("^r$|^r "), exact=False).first
    button = heading.get_by_role("button")
    button.click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert column(page, 3)[0] == "0.500"
    assert column(page, 3)[-2:] == ["−0.250", "–"]  # what is not known stays last
    button.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert (column(page, 3)[0], column(page, 3)[-1]) == ("−0.250", "–")


def test_names_are_sorted_as_people_count_by_the_keyboard_alone(page: "Page") -> None:
    button = page.get_by_role("columnheader", name="gene").get_by_role("button")
    button.focus()
    page.keyboard.press("Space")
    names = [name for name in column(page, 1) if name.startswith("G")]
    assert names == ["G9", "G10"]
    assert page.locator("[aria-sort]").count() == 1


def test_rows_are_filtered_by_words_and_how_many_is_said(page: "Page") -> None:
    field = page.get_by_label("Filter rows")
    field.fill("g1")
    assert column(page, 1) == ["G10"]
    assert "1 of 10 rows hold “g1”" in page.locator("output").inner_text()
    field.fill("onerror")
    assert column(page, 1) == [HOSTILE]
    field.fill("")
    assert len(column(page, 1)) == 10


def test_hostile_names_run_nothing(page: "Page") -> None:
    assert page.title() == f"MISO map: {HOSTILE}"
    assert page.locator("img[src=x]").count() == 0


def test_the_page_prints_without_fields_and_is_readable_without_the_script(
    page: "Page", page_file: Path
) -> None:
    page.emulate_media(media="print")
    assert not page.get_by_label("Filter rows").is_visible()
    assert len(column(page, 1)) == 10
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="screen")
    context = page.context.browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(page_file.as_uri())
    assert plain.locator("tbody tr:visible").count() == 11
    assert plain.locator("button").count() == 0
    context.close()
