"""The tiles of a slide in colours that say what each shows, at their exact places beside the bare slide."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from miso.geometry import Points
from miso.maps.canvas import Panel, grey, save, scale_bar, sheet
from miso.maps.thumbnail import Thumbnail
from miso.slides.quality import REASONS
from miso.slides.slide import Slide

REASON_COLOURS = {
    "tissue": "#1b7837",
    "background": "#bdbdbd",
    "pen": "#2166ac",
    "fold": "#d6604d",
    "blur": "#e6ab02",
    "off slide": "#000000",
}
"""Colours that stay apart with the common kinds of colour vision; glass is grey and sound tissue green."""
ALPHA, ALPHA_GLASS = 0.55, 0.15


def plot_tiles(
    slide: Slide, origin_xy: Points, side_px: float, reasons: Sequence[str] | pd.Series, out: Path | str
) -> None:
    """Save the picture of tiles; see `draw_tiles`."""
    save(draw_tiles(slide, origin_xy, side_px, reasons), out)


def draw_tiles(slide: Slide, origin_xy: Points, side_px: float, reasons: Sequence[str] | pd.Series) -> Figure:
    """Draw the slide, and beside it in grey the same with every tile in its reason's colour, and a legend.

    Parameters
    ----------
    origin_xy, side_px
        Top-left corners, (n, 2), and side of the tiles, in level-0 pixels.
    reasons
        One of `REASONS` a tile.
    """
    thumbnail, names = Thumbnail.of(slide), np.asarray(reasons, dtype=str)
    panels = [Panel(picture=thumbnail, caption="H&E"), Panel(picture=grey(thumbnail), caption="tiles")]
    page = sheet(panels, title="what the tiles show", subtitle=f"{slide.path.name} · {_side(slide, side_px)}")
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * side_px
    for reason in REASONS:
        squares = np.asarray(origin_xy)[names == reason][:, None] + corners
        page.panels[1].add_collection(
            PolyCollection(
                list(squares),
                facecolor=REASON_COLOURS[reason],
                alpha=ALPHA_GLASS if reason == "background" else ALPHA,
                edgecolor="white",
                linewidth=0.15,
            ),
            autolim=False,
        )
    there = [reason for reason in REASONS if (names == reason).any()]
    page.panels[1].legend(
        handles=[Patch(color=REASON_COLOURS[r], label=f"{r} {(names == r).sum():,}") for r in there],
        loc="upper right",
        fontsize=8,
        framealpha=0.9,
    )
    if slide.has_resolution:
        for axes in page.panels:
            scale_bar(axes, slide.mpp)
    return page.figure


def _side(slide: Slide, side_px: float) -> str:
    um = f" ({side_px * slide.mpp:.4g} µm)" if slide.has_resolution else ""
    return f"tiles of {side_px:.4g} px{um}"
