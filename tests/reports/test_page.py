"""The benchmark's page: it loads nothing, it is small, and whatever has a name is shown as text."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

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
LOADING = {"src", "href", "srcset", "data", "action", "background", "poster", "xlink:href", "style"}


class Reader(HTMLParser):
    """Collects tags, attributes that could load something, and the text as a browser shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.loads, self.text, self.events = list[str](), list[str](), "", list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in LOADING]
        self.events += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(write_run_anywhere: WriteRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Reader]:
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
    reader = Reader()
    reader.feed(text)
    return text, reader


def test_the_page_refers_to_nothing_outside_itself(page: tuple[str, Reader]) -> None:
    text, reader = page
    assert len([link for link in reader.loads if link.startswith("data:image/png;base64,")]) == 3
    assert all(link.startswith("data:image/png;base64,") for link in reader.loads)
    without_pictures = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)
    assert "http://" not in without_pictures
    assert "https://" not in without_pictures
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?\s*//""", without_pictures)
    assert not {"script", "link", "iframe", "object", "embed"} & set(reader.tags)
    assert "default-src 'none'" in text


def test_hostile_names_are_shown_as_text(page: tuple[str, Reader]) -> None:
    text, reader = page
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    for name in HOSTILE:
        assert name in reader.text
    assert not reader.events
    assert not {"b>list", "i>", "em", "s", "u"} & set(reader.tags)
    assert "<i>model</i>" in reader.text


def test_the_page_says_what_a_sceptic_asks(page: tuple[str, Reader]) -> None:
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


def test_the_page_is_small(page: tuple[str, Reader]) -> None:
    assert len(page[0].encode()) < 3e6
