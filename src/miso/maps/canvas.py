"""Panels of equal size that all show one part of one slide at one scale; axes are level-0 pixels."""

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from textwrap import wrap
from typing import Protocol, TypeVar

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from miso.errors import MapError
from miso.maps.cutout import Cutout
from miso.maps.thumbnail import Box, Thumbnail
from miso.slides.slide import RGB
from miso.storage.atomic import write_path

COLORS = "viridis"
"""Perceptually uniform, and readable with any kind of colour vision."""
DPI = 200
PANEL_IN, SMALLER_IN, MANY, NARROWEST_IN = 6.5, 5.0, 4, 2.5
"""The longer side of a panel in inches, the same where more than MANY stand in a row, least column width."""
MARGIN_IN, BAR_GAP_IN, BAR_IN, BAR_COLUMN_IN = 0.3, 0.12, 0.16, 0.95
TITLE_PT, SUBTITLE_PT, CAPTION_PT, NOTE_PT = 15.0, 9.0, 10.0, 8.5
CHARACTER, LINE = 0.6, 1.3
"""Mean width of a character and height of a line, in sizes of the font."""
PNG_LEVEL = 2
"""Of zlib: pictures of tissue hardly get smaller above it, and take several times as long."""
GREY, MARKED = "0.35", "#b2182b"
PICTURE = TypeVar("PICTURE", bound=Thumbnail | Cutout)


class Picture(Protocol):
    """An image and the part of the slide that it stretches over."""

    @property
    def rgb(self) -> RGB:
        """The image."""

    @property
    def box(self) -> Box:
        """Where it lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What one panel shows: a picture of the slide, a caption, a note under it, and if it has a colour bar.

    A note that is `marked` stands out.
    """

    picture: Picture
    caption: str
    note: str = ""
    marked: bool = False
    bar: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A figure with one pair of axes a panel, and one a colour bar where the panel has it."""

    figure: Figure
    panels: tuple[Axes, ...]
    bars: tuple[Axes | None, ...]


def sheet(
    panels: Sequence[Panel],
    *,
    title: str,
    subtitle: str = "",
    view: Box | None = None,
    columns: int | None = None,
) -> Sheet:
    """Lay out panels of one slide, `columns` in a row (all in one by default), the title above them all.

    All show `view`, by default what the first picture does.
    """
    view, columns = view or panels[0].picture.box, columns or len(panels)
    size_in = _panel_size(view, PANEL_IN if columns <= MANY else SMALLER_IN)
    wide = max(size_in[0], NARROWEST_IN)
    widths = [
        wide + BAR_COLUMN_IN * any(p.bar for p in panels[i::columns]) + MARGIN_IN for i in range(columns)
    ]
    total = sum(widths) + MARGIN_IN
    titles = _wrapped(title, total - 2 * MARGIN_IN, 1.15 * TITLE_PT)
    subtitles = _wrapped(subtitle, total - 2 * MARGIN_IN, SUBTITLE_PT)
    lefts = [0.0, *accumulate(widths)]
    tops, top = [], 0.2 + _height(titles, TITLE_PT) + _height(subtitles, SUBTITLE_PT)
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        tops.append(_in_pixels(top + MARGIN_IN / 3 + max(_head(panel, wide) for panel in row)))
        top = tops[-1] + size_in[1]
    figure = Figure(figsize=(total, _in_pixels(top + MARGIN_IN)), dpi=DPI, facecolor="white")
    corners = [(MARGIN_IN + lefts[i % columns], tops[i // columns]) for i in range(len(panels))]
    axes = tuple(_axes(figure, corner, size_in) for corner in corners)
    bar_size_in, beside_in = (BAR_IN, size_in[1]), size_in[0] + BAR_GAP_IN
    bars = tuple(
        _axes(figure, (left + beside_in, top), bar_size_in) if panel.bar else None
        for (left, top), panel in zip(corners, panels, strict=True)
    )
    for one, panel in zip(axes, panels, strict=True):
        _show(one, panel, view, wide)
    _write_title(figure, titles, subtitles)
    return Sheet(figure=figure, panels=axes, bars=bars)


def grey(picture: PICTURE) -> PICTURE:
    """Take the stain out and lighten it, so that colours laid over it read as the colour bar shows them."""
    luma = picture.rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    pale = (255 - 0.7 * (255 - luma)).round().astype(np.uint8)
    return replace(picture, rgb=np.repeat(pale[..., None], 3, axis=-1))


def color_limits(
    values: Float[NDArray[np.float32], "*n"], percentiles: tuple[float, float] = (1, 99)
) -> tuple[float, float]:
    """Return percentiles of the finite values, or their whole range where these fall together."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, percentiles))
    if low == high:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def color_bar(sheet: Sheet, panel: int, drawn: ScalarMappable, label: str) -> None:
    """Draw the bar of a panel, pointed at the ends beyond which values are clipped."""
    array = np.ma.filled(np.ma.asarray(drawn.get_array(), dtype=np.float64), np.nan)
    values = array[np.isfinite(array)]
    low, high = drawn.get_clim()
    below = bool(values.size and low is not None and values.min() < low)
    above = bool(values.size and high is not None and values.max() > high)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    bar = sheet.figure.colorbar(drawn, cax=sheet.bars[panel], extend=extend[below, above], extendfrac=0.02)
    bar.set_label(label, size=9)
    bar.ax.tick_params(labelsize=8)
    bar.ax.spines["outline"].set_linewidth(0.5)


def scale_bar(axes: Axes, mpp: float) -> None:
    """Draw a bar of a round length, at most a quarter of the panel, at the lower right."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    length_um = round_length((right - left) * mpp / 4)
    end, y = right - 0.03 * (right - left), bottom - 0.04 * (bottom - top)
    outline = [withStroke(linewidth=4.5, foreground="white")]
    axes.plot(
        [end - length_um / mpp, end],
        [y, y],
        color="black",
        lw=2.5,
        solid_capstyle="butt",
        path_effects=outline,
        zorder=5,
    )
    label = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
    middle = end - length_um / mpp / 2
    text = axes.annotate(
        label, (middle, y), (0, 4), textcoords="offset points", ha="center", va="bottom", size=9, zorder=5
    )
    text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def round_length(longest: float) -> float:
    """Return the largest of 1, 2 or 5 times a power of ten that is no longer than `longest`."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))


def save(figure: Figure, out: Path | str) -> None:
    """Write a figure in the format that the name ends in (PNG without one), then rename it into place.

    Raises
    ------
    MapError
        If pictures are not written in that format.
    """
    out = Path(out)
    kind = out.suffix.lstrip(".").lower() or "png"
    if kind not in (known := figure.canvas.get_supported_filetypes()):
        raise MapError(f"cannot draw {out.name!r}; a picture ends in {', '.join(sorted(known))}")
    with write_path(out) as partial:
        if kind == "png":
            figure.savefig(partial, format=kind, pil_kwargs={"compress_level": PNG_LEVEL})
        else:
            figure.savefig(partial, format=kind)
    gc.collect()  # of earlier figures: each is in reference cycles, and holds tens of MB of pixels


def _panel_size(view: Box, longer_in: float) -> tuple[float, float]:
    width, height = (_in_pixels(side / max(view.size_px) * longer_in) for side in view.size_px)
    return width, height


def _in_pixels(length_in: float) -> float:
    return round(length_in * DPI) / DPI


def _wrapped(text: str, width_in: float, size_pt: float) -> list[str]:
    """Break a text into lines that a width holds."""
    return wrap(text, max(int(width_in / (CHARACTER * size_pt / 72)), 8))


def _height(lines: Sequence[str], size_pt: float) -> float:
    """Return the inches that lines take."""
    return len(lines) * LINE * size_pt / 72


def _head(panel: Panel, width_in: float) -> float:
    """Return the inches that a panel's caption and note take above it."""
    caption, note = _wrapped(panel.caption, width_in, CAPTION_PT), _wrapped(panel.note, width_in, NOTE_PT)
    return 0.11 + _height(caption, CAPTION_PT) + _height(note, NOTE_PT)


def _axes(figure: Figure, corner_in: tuple[float, float], size_in: tuple[float, float]) -> Axes:
    """Make axes of a size whose top-left corner lies so far from the figure's."""
    (width, height), (left, top) = figure.get_size_inches(), corner_in
    bottom = height - top - size_in[1]
    return figure.add_axes((left / width, bottom / height, size_in[0] / width, size_in[1] / height))


def _write_title(figure: Figure, title: Sequence[str], subtitle: Sequence[str]) -> None:
    width, height = figure.get_size_inches()
    x, y = MARGIN_IN / width, 1 - 0.2 / height
    figure.text(x, y, "\n".join(title), size=TITLE_PT, weight="bold", va="top")
    y -= _height(title, TITLE_PT) / height
    figure.text(x, y, "\n".join(subtitle), size=SUBTITLE_PT, color=GREY, va="top")


def _show(axes: Axes, panel: Panel, view: Box, width_in: float) -> None:
    axes.imshow(panel.picture.rgb, extent=panel.picture.box.extent, aspect="auto")
    axes.set(xlim=(view.left, view.right), ylim=(view.bottom, view.top), xticks=[], yticks=[])
    note = _wrapped(panel.note, width_in, NOTE_PT)
    caption = "\n".join(_wrapped(panel.caption, width_in, CAPTION_PT))
    axes.set_title(caption, size=CAPTION_PT, loc="left", pad=(6 if note else 4) + len(note) * LINE * NOTE_PT)
    axes.annotate(
        "\n".join(note),
        (0, 1),
        (0, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        size=NOTE_PT,
        va="bottom",
        color=MARKED if panel.marked else GREY,
        annotation_clip=False,
    )
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, color=GREY)
