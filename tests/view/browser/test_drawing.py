"""What is drawn lies where it should, in the colours that it should have, and is fetched once."""

from collections.abc import Callable

import numpy as np
import pytest

from .known import AT_HOT, HOT_XY, PURPLE, YELLOW, of_slide
from .looker import Looker, near

pytestmark = pytest.mark.browser
Look = Callable[[], Looker]


def where(readout: str) -> tuple[float, ...]:
    return tuple(float(part) for part in readout.removeprefix("x, y ").split(" µm")[0].split(", "))


def test_the_hot_cell_is_drawn_where_it_lies(look: Look, live: str) -> None:
    looker = look().open(live + AT_HOT)
    image, (x, y) = looker.still(), looker.middle()
    hot = np.abs(image.astype(int) - YELLOW).max(axis=-1) <= 3
    rows, columns = np.nonzero(hot & (np.abs(np.arange(image.shape[1]) - x) < 100)[None])
    assert (columns.min(), columns.max() + 1) == (pytest.approx(x - 20, abs=1), pytest.approx(x + 20, abs=1))
    assert (rows.min(), rows.max() + 1) == (pytest.approx(y - 20, abs=1), pytest.approx(y + 20, abs=1))
    assert hot[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()  # crisp to its border


def test_only_tiles_in_view_are_fetched(look: Look, live: str) -> None:
    looker = look().open(live + AT_HOT)
    tiles = {url.split("/maps/")[1] for url in looker.asked if url.endswith(".f32") and "/maps/" in url}
    assert tiles == {"0/0/2/0_0.f32", "0/0/0/1_0.f32"}  # the coarsest, and the one that holds the cell


def test_coarser_levels_lie_on_the_same_place(look: Look, live: str) -> None:
    looker = look()
    looker.page.set_viewport_size({"width": 640, "height": 500})
    looker.open(f"{live}#x=1200&y=800&zoom=0.1&opacity=1")  # cells of 0.8 px, of the second level
    image, (x, y) = looker.still(), looker.middle()
    assert near(image, x + (230 - 1200) * 0.1, y, PURPLE, 8)
    assert near(image, x + (180 - 1200) * 0.1, y, of_slide(180, 800), 8)  # left of 200 px nothing was seen
    assert any("/0/0/1/1_0.f32" in url for url in looker.asked)
    assert not any("/0/0/0/" in url for url in looker.asked)


def test_unseen_cells_and_a_hidden_map_show_the_slide(look: Look, live: str) -> None:
    looker = look().open(f"{live}#x=200&y=700&zoom=4&opacity=1")
    image, (x, y) = looker.still(), looker.middle()
    assert near(image, x - 2, y, of_slide(199.5, 700))
    assert near(image, x + 2, y, PURPLE)
    looker.page.keyboard.press("m")
    assert near(looker.still(), x + 2, y, of_slide(200.5, 700))
    looker.page.keyboard.press("m")
    assert near(looker.still(), x + 2, y, PURPLE)


def test_looks_change_without_fetching(look: Look, live: str) -> None:
    looker = look().open(live + AT_HOT)
    looker.asked.clear()
    looker.page.keyboard.press("[")
    mixed = [0.9 * top + 0.1 * below for top, below in zip(YELLOW, of_slide(*HOT_XY), strict=True)]
    assert near(looker.still(), *looker.middle(), color=tuple(mixed))
    looker.page.keyboard.press("]")
    looker.page.locator("#colors").select_option("grey")
    looker.page.locator("#log").select_option("log")
    looker.page.locator("#high-v0").fill("1000000")
    looker.page.locator("#high-v0").press("Enter")  # a logarithmic scale spans a thousand at most
    assert near(looker.still(), *looker.middle(), color=(0, 0, 0))
    looker.page.locator("#reset-v0").click()
    assert near(looker.still(), *looker.middle(), color=(255, 255, 255))
    assert looker.asked == []


def test_novelty_is_drawn_against_one(look: Look, live: str) -> None:
    looker = look().open(f"{live}{AT_HOT}&a=0n.")  # 0.25 everywhere, and seen where no gene is
    assert looker.page.locator(".ticks").inner_text().split() == ["0", "0.5", "1"]
    assert near(looker.still(), *looker.middle(), color=(81, 18, 124))  # a quarter of magma


def test_a_lower_limit_above_the_upper_is_refused(look: Look, live: str) -> None:
    looker = look().open(live + AT_HOT)
    looker.page.locator("#low-v0").fill("500")
    looker.page.locator("#low-v0").press("Enter")
    assert near(looker.still(), *looker.middle(), color=YELLOW)
    assert looker.page.locator("#reset-v0").is_disabled()


def test_swipe_shows_a_side_each_and_keys_move_the_divider(look: Look, live: str) -> None:
    looker = look().open(f"{live}#x=1200&y=810&zoom=2&opacity=1")
    page, (x, y) = looker.page, looker.middle()
    before = looker.still()
    page.keyboard.press("w")
    image = looker.still()
    right = of_slide(1200 + 150, 810 + 20)
    assert (image[int(y) + 20, int(x) - 50] == before[int(y) + 20, int(x) - 50]).all()
    assert near(image, x + 300, y + 40, right)
    assert not near(before, x + 300, y + 40, right, 30)
    page.get_by_role("slider", name="divider").focus()
    page.keyboard.press("End")
    assert near(looker.still(), x + 300, y + 40, tuple(map(float, before[int(y) + 40, int(x) + 300])))
    assert page.get_by_role("slider", name="divider").get_attribute("aria-valuenow") == "100"


def test_spots_are_discs_of_their_true_size(look: Look, live: str) -> None:
    looker = look().open(f"{live}#x=1200&y=800&zoom=1&opacity=1")  # "second" lies in the middle, 200 px wide
    looker.page.keyboard.press("m")
    looker.page.keyboard.press("s")
    image, (x, y) = looker.still(), looker.middle()
    inside = tuple(map(float, image[int(y), int(x)]))
    assert not near(image, x, y, of_slide(1200, 800), 20)
    assert near(image, x + 96, y, inside)
    assert near(image, x, y - 96, inside)
    assert near(image, x + 104, y, of_slide(1304, 800))
    assert near(image, x + 75, y + 75, of_slide(1275, 875))  # outside a disc, inside a square


def test_side_by_side_moves_together(look: Look, live: str) -> None:
    looker = look().open(f"{live}#x=1200&y=800&zoom=1&mode=side&opacity=1")
    page, (x, y) = looker.page, looker.middle("b")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 120, y - 40, steps=4)
    page.mouse.up()
    looker.still()
    page.keyboard.press("i")
    there = page.locator("#readout").inner_text()
    page.mouse.move(*looker.middle("a"))
    page.wait_for_selector("#readout :text('KRT8')")
    assert where(page.locator("#readout").inner_text()) == pytest.approx(where(there), abs=0.5)
    assert where(there) == pytest.approx((660, 420), abs=1)  # 120 and 40 px on


def test_a_second_pane_that_is_left_while_it_opens_does_not_stay(look: Look, live: str) -> None:
    looker = look().open(f"{live}#x=1200&y=800&zoom=1&mode=swipe")
    page = looker.page
    page.evaluate(
        """() => { for (let i = 0; i < 2; i++)
          document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "w", bubbles: true })); }"""
    )
    page.wait_for_selector("[data-pane=b]", state="attached")
    looker.still()
    assert not page.locator("[data-pane=b]").is_visible()
    assert page.locator("[data-pane=a]").bounding_box() == page.locator("#stage").bounding_box()
    page.keyboard.press("w")
    page.keyboard.press("w")
    page.wait_for_selector("[data-pane=b]", state="visible")
