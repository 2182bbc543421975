"""What is read is true: under the pointer, at the centre, and in regions and their files."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from .known import AT_HOT, GENES, values
from .looker import Looker

pytestmark = pytest.mark.browser
Look = Callable[[], Looker]


def test_hover_reads_position_value_spread_and_novelty(look: Look, live: str) -> None:
    looker = look().open(live + AT_HOT)
    x, y = looker.middle()
    looker.page.mouse.move(x, y)
    looker.page.wait_for_selector("#readout :text('novelty 0.25')")
    line = looker.page.locator("#readout").inner_text()
    assert "581.0, 261.0 µm" in line  # 1162 and 522 px
    assert "KRT8 100 counts per spot" in line
    assert "spread 10" in line
    looker.page.mouse.move(x + 25, y)  # the next cell
    looker.page.wait_for_selector("#readout :text('KRT8 3.91')")
    assert "nearest spot second" in looker.page.locator("#readout").inner_text()


def test_the_centre_is_read_without_a_mouse(look: Look, live: str) -> None:
    looker = look().open(f"{live}#x=1200&y=810&zoom=2")
    looker.page.keyboard.press("i")
    looker.page.wait_for_selector("#spoken:has-text('KRT8 4')", state="attached")
    said = looker.page.locator("#spoken").inner_text()
    assert "600.0, 405.0 µm" in said
    assert "second, 5 µm away: predicted 3 counts per spot" in said


def test_a_region_gives_its_means_and_files(look: Look, live: str, tmp_path: Path) -> None:
    looker = look().open(f"{live}#x=1200&y=800&zoom=0.5&opacity=1")
    page, (x, y) = looker.page, looker.middle()
    page.keyboard.press("r")
    for dx, dy in [(-100, -100), (100, -100), (100, 100)]:  # 1000 to 1400 and 600 to 1000 px
        page.mouse.click(x + dx, y + dy)
        page.wait_for_timeout(350)  # two quick clicks would be a double click
    page.mouse.click(x - 100, y + 100)
    page.keyboard.press("Enter")
    page.wait_for_selector("#means-rows")
    expected = values()[:, 150:250, 250:350].mean(axis=(1, 2))
    with page.expect_download() as download:
        page.locator("#means-csv").click()
    download.value.save_as(tmp_path / "means.csv")
    rows = list(csv.DictReader((tmp_path / "means.csv").read_text().splitlines()))
    assert [row["gene"] for row in rows] == [*GENES[:3], "'=cmd()", "MUC1"]
    np.testing.assert_allclose([float(row["mean"]) for row in rows], expected, rtol=0.01)
    assert "40000 µm², 100 %" in page.locator("#means-size").inner_text()
    with page.expect_download() as download:
        page.locator("#means-geojson").click()
    download.value.save_as(tmp_path / "region.geojson")
    feature = json.loads((tmp_path / "region.geojson").read_text())
    ring = np.array(feature["geometry"]["coordinates"][0])
    np.testing.assert_allclose(
        ring, [[1000, 600], [1400, 600], [1400, 1000], [1000, 1000], [1000, 600]], atol=2
    )
    assert feature["properties"]["measurements"]["KRT8"] == pytest.approx(expected[0], rel=0.01)


def test_the_table_of_means_sorts_and_filters(look: Look, live: str) -> None:
    looker = look().open(live)
    page, (x, y) = looker.page, looker.middle()
    page.locator("#region-rectangle").click()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 60, steps=3)
    page.mouse.up()
    page.wait_for_selector("#means-rows")
    page.locator("#sort-mean").click()
    names = page.locator("#means-body th")
    assert names.all_inner_texts() == list(reversed(GENES))  # the n-th gene has n times the values
    page.locator("#means-filter").fill("rb")
    assert names.all_inner_texts() == ["ERBB2"]
    page.locator("#means-close").click()
    assert not page.locator("#means").is_visible()


def test_a_region_that_is_cancelled_asks_for_nothing(look: Look, live: str) -> None:
    looker = look().open(live)
    x, y = looker.middle()
    looker.page.keyboard.press("r")
    looker.page.mouse.click(x, y)
    looker.page.keyboard.press("Enter")
    assert "three corners" in looker.page.locator("#region-hint").inner_text()
    looker.page.keyboard.press("Escape")
    looker.page.mouse.click(x + 50, y)
    assert not looker.page.locator("#means").is_visible()
    assert not any(url.endswith("regions") for url in looker.asked)


def test_what_the_server_refuses_is_said(look: Look, live: str) -> None:
    looker = look().open(live)
    error = {"error": "the polygon crosses itself"}
    looker.page.route("**/regions", lambda route: route.fulfill(status=422, json=error))
    looker.page.locator("#region-view").click()
    looker.page.wait_for_selector("#means-say:has-text('crosses itself')")
    assert "status of 422" in looker.said.pop()  # Chromium says so by itself
