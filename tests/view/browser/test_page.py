"""The page opens, keeps its state in its address, shows names as text, and says what goes wrong."""

from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from starlette.types import ASGIApp

from miso.view.export import export_view
from miso.view.scene import Scene, open_scene
from miso.view.server import application

from .known import AT_HOT, HOSTILE, YELLOW
from .looker import Looker, near

pytestmark = pytest.mark.browser
Look = Callable[[], Looker]


def type_gene(looker: Looker, text: str) -> None:
    looker.page.keyboard.press("/")
    looker.page.keyboard.type(text)
    looker.page.keyboard.press("Enter")


def test_the_page_opens_and_says_what_it_shows(look: Look, live: str) -> None:
    page = look().open(live).page
    assert page.locator("#slide-name").inner_text() == "s.png"
    assert page.locator(".legend").inner_text().split("\n")[0] == "KRT8 predicted map m"
    assert page.locator(".legend .units").inner_text() == "counts per spot"
    assert not page.locator("#notice").is_visible()


def test_typing_finds_a_gene_and_its_grade_is_said(look: Look, live: str) -> None:
    page = look().open(live).page
    page.keyboard.press("/")
    page.keyboard.type("rbb")
    assert page.locator("#gene-list [role=option]").all_inner_texts() == ["ERBB2\ngrade D"]
    page.keyboard.press("Enter")
    page.wait_for_selector(".legend.low :text('cross-validation does not bear it out')")
    page.keyboard.press("n")
    assert page.locator("#gene").input_value() == HOSTILE
    page.keyboard.press("p")
    assert page.locator("#gene").input_value() == "ERBB2"


def test_hostile_names_are_text(look: Look, live: str) -> None:
    looker = look().open(live)
    type_gene(looker, "<img")
    looker.page.locator("#region-view").click()
    looker.page.wait_for_selector("#means-rows")
    looker.page.locator("#about").click()
    looker.page.keyboard.press("i")
    assert looker.page.locator(".legend b").inner_text() == HOSTILE
    assert HOSTILE in looker.page.locator("#means-body").inner_text()
    assert looker.page.locator("img[src=x]").count() == 0
    assert looker.page.title() == "s.png, MISO viewer"


def test_the_address_holds_the_view(look: Look, live: str) -> None:
    looker = look().open(live)
    page = looker.page
    type_gene(looker, "erbb")
    for key in ("w", "[", "+", "ArrowRight"):
        page.keyboard.press(key)
    page.locator("#log").select_option("log")
    page.locator("#colors").select_option("cividis")
    page.locator("#a-plane").select_option("s")
    page.wait_for_selector(".ticks :text('1.39')")  # a tenth of twice 6.94, the 99th percentile
    page.locator("#high-s0").fill("2")
    page.locator("#high-s0").press("Enter")
    image = looker.still()
    page.wait_for_timeout(300)
    again = look().open(page.url)
    np.testing.assert_array_equal(again.still()[:, 300:], image[:, 300:])
    assert again.page.locator("#gene").input_value() == "ERBB2"
    assert again.page.locator("#high-s0").input_value() == "2"
    assert again.page.locator("#colors").input_value() == "cividis"
    assert again.page.locator("input[name=mode]:checked").get_attribute("value") == "swipe"
    again.page.evaluate("location.hash = 'gene=MUC1&mode=one'")
    again.page.wait_for_selector(".legend b:text('MUC1')")
    assert again.page.locator("input[name=mode]:checked").get_attribute("value") == "one"


def test_an_address_of_nonsense_is_ignored(look: Look, live: str) -> None:
    nonsense = "x=a&zoom=-1&gene=%00&a=99v.99&mode=__proto__&colors=constructor&limits=v0:9:1,__proto__:1:2"
    page = look().open(f"{live}#{nonsense}").page
    assert page.locator("#gene").input_value() == "KRT8"
    assert page.locator("#colors").input_value() == "viridis"


def test_the_help_lists_keys_and_closes(look: Look, live: str) -> None:
    page = look().open(live).page
    page.keyboard.press("?")
    assert "draw a region" in page.locator("#help").inner_text()
    page.keyboard.press("m")  # keys of the page rest
    page.get_by_role("button", name="Close", exact=True).click()
    assert not page.locator("#help").is_visible()
    assert page.locator("#show-map").is_checked()


def test_a_slide_alone_has_no_controls_of_maps(
    look: Look, folder: Path, serving: Callable[[ASGIApp], str]
) -> None:
    page = look().open(serving(application(open_scene(folder / "s.png", mpp=0.5), hosts=None))).page
    for part in ("genes", "layout", "sides", "looks", "regions", "about"):
        assert not page.locator(f"#{part}").is_visible(), part
    page.keyboard.press("i")
    assert page.locator("#readout").inner_text().strip() == "x, y 600.0, 400.0 µm"


def test_an_exported_view_works_on_any_server(look: Look, shown: Scene, tmp_path: Path) -> None:
    export_view(shown, tmp_path / "site")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site"))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        looker = look().open(f"http://127.0.0.1:{server.server_port}/{AT_HOT}")
        assert near(looker.still(), *looker.middle(), color=YELLOW)
        looker.page.locator("#region-view").click()
        assert "need the live viewer" in looker.page.locator("#means-say").inner_text()
        assert looker.page.locator("#means-csv").is_disabled()
        looker.page.close()
        server.shutdown()


def test_what_cannot_be_loaded_is_said(look: Look, live: str) -> None:
    looker = look()
    looker.page.route("**/*.f32", lambda route: route.fulfill(status=500, body="no"))
    looker.open(live)
    assert "the server answered 500" in looker.page.locator("#notice").inner_text()
    looker.page.locator("#notice-close").click()
    assert not looker.page.locator("#notice").is_visible()
    assert all("500" in line for line in looker.said)
    looker.said.clear()


def test_a_viewer_without_its_scene_says_so(look: Look, live: str) -> None:
    looker = look()
    looker.page.route("**/scene.json", lambda route: route.abort())
    looker.page.goto(live)
    looker.page.wait_for_selector("#notice:has-text('could not open')")
    assert looker.said
    looker.said.clear()


def test_the_page_is_usable_when_narrow(look: Look, live: str) -> None:
    looker = look().open(live)
    looker.page.set_viewport_size({"width": 800, "height": 600})
    looker.still()
    assert looker.page.evaluate("document.documentElement.scrollWidth") <= 800
    assert looker.box()[2] > 500
    looker.page.locator("#panel-toggle").click()
    looker.still()
    assert looker.box()[2] == pytest.approx(800, abs=1)


def test_every_control_has_a_name(look: Look, live: str) -> None:
    page = look().open(live).page
    bare = page.evaluate(
        """[...document.querySelectorAll('button, input, select')].filter(one => !(one.textContent.trim()
        || one.getAttribute('aria-label') || one.labels?.length)).map(one => one.outerHTML)"""
    )
    assert bare == []


def test_every_module_is_asked_for_at_once(look: Look, live: str) -> None:
    looker = look().open(live)
    modules = {url.rpartition("/")[2] for url in looker.asked if url.endswith(".js")}
    html = looker.page.request.get(live).text()
    assert [
        name for name in modules if f'"{name}"' not in html
    ] == []  # no module waits for another to be read
