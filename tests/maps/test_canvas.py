"""Panels are laid out in rows, and what is written above them stays above them."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from miso.maps.canvas import MARKED, Panel, Sheet, sheet
from miso.maps.thumbnail import Box, Thumbnail

PICTURE = Thumbnail(rgb=np.full((40, 60, 3), 255, np.uint8), slide_size_px=(600, 400))
LONG = "grade D: cross-validation does not bear it out, and a name of a map that goes on and on " * 2


def boxes(page: Sheet) -> list[tuple[float, float, float, float]]:
    """(left, top, right, bottom) of the panels, in inches from the top-left corner."""
    width, height = page.figure.get_size_inches()
    found = [axes.get_position() for axes in page.panels]
    return [(b.x0 * width, (1 - b.y1) * height, b.x1 * width, (1 - b.y0) * height) for b in found]


def test_panels_stand_in_rows_of_one_size() -> None:
    panels = [Panel(picture=PICTURE, caption=str(i), bar=i == 1) for i in range(5)]
    found = boxes(sheet(panels, title="t", columns=3))
    assert found[0][0] == pytest.approx(found[3][0])
    assert found[1][0] == pytest.approx(found[4][0])
    assert found[3][1] > found[0][3]
    assert len({(round(x1 - x0, 6), round(y1 - y0, 6)) for x0, y0, x1, y1 in found}) == 1
    assert found[2][0] - found[1][2] > found[1][0] - found[0][2], "the bar has its place"


def test_a_panel_has_the_shape_of_the_view() -> None:
    view = Box(left=100, top=50, right=200, bottom=250)
    page = sheet([Panel(picture=PICTURE, caption="c")], title="t", view=view)
    left, top, right, bottom = boxes(page)[0]
    assert (bottom - top) / (right - left) == pytest.approx(2)
    assert page.panels[0].get_xlim() == (100, 200)
    assert page.panels[0].get_ylim() == (250, 50)


def test_no_text_overlaps_another_or_leaves_the_picture() -> None:
    panels = [Panel(picture=PICTURE, caption=LONG, note=LONG, marked=True) for _ in range(4)]
    page = sheet(panels, title=LONG, subtitle=LONG, columns=2)
    found = [text.get_window_extent() for text in texts(page.figure)]
    figure = page.figure.bbox
    assert len(found) == 10
    assert all(figure.x0 <= b.x0 and b.x1 <= figure.x1 and b.y0 >= 0 and b.y1 <= figure.y1 for b in found)
    by_height = sorted(found, key=lambda b: -b.y1)
    assert not any(a.overlaps(b) for i, a in enumerate(by_height) for b in by_height[i + 1 :])
    panels_in = [axes.get_window_extent() for axes in page.panels]
    assert not any(text.overlaps(panel.shrunk(0.999, 0.999)) for text in found for panel in panels_in)
    assert all(a.x1 < b.x0 for a, b in pairwise(panels_in[:2]))


def test_a_marked_note_stands_out() -> None:
    page = sheet([Panel(picture=PICTURE, caption="c", note="grade D", marked=True)], title="t")
    assert {text.get_color() for text in texts(page.figure) if text.get_text() == "grade D"} == {MARKED}


def texts(figure: Figure) -> list[Text]:
    FigureCanvasAgg(figure).draw()
    every = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [text for text in every if text.get_text() and text.get_visible()]
