"""Panels of equal size that all show one slide at the same place and scale; axes are level-0 pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from miso.errors import MapError
from miso.launch.atomic import write_path
from miso.maps.thumbnail import Thumbnail

COLORS = "viridis"
"""Perceptually uniform, and readable with any kind of colour vision."""
DPI = 200
PANEL_IN, NARROWEST_IN = 6.5, 2.5
"""The longer side of a panel, and the least width of its column, in inches."""
MARGIN_IN, HEAD_IN, CAPTION_IN, BAR_GAP_IN, BAR_IN, BAR_COLUMN_IN = 0.3, 0.75, 0.3, 0.12, 0.16, 0.95
GREY = "0.35"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What one panel shows: a picture of the slide, a caption, and whether a colour bar stands beside it."""

    picture: Thumbnail
    caption: str
    bar: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A figure with one pair of axes a panel, and one a colour bar where the panel has it."""

    figure: Figure
    panels: tuple[Axes, ...]
    bars: tuple[Axes | None, ...]


def sheet(panels: Sequence[Panel], *, title: str, subtitle: str = "") -> Sheet:
    """Lay out panels of one slide side by side, the title above them all."""
    width_in, height_in = _panel_size(panels[0].picture.slide_size_px)
    columns_in = [max(width_in, NARROWEST_IN) + BAR_COLUMN_IN * panel.bar + MARGIN_IN for panel in panels]
    total_in = (sum(columns_in) + MARGIN_IN, height_in + HEAD_IN + CAPTION_IN + MARGIN_IN)
    figure = Figure(figsize=total_in, dpi=DPI, facecolor="white")
    lefts = MARGIN_IN + np.cumsum([0, *columns_in[:-1]])
    axes = tuple(_axes(figure, left, width_in, height_in) for left in lefts)
    bar_lefts = lefts + width_in + BAR_GAP_IN
    bars = tuple(
        _axes(figure, left, BAR_IN, height_in) if panel.bar else None
        for left, panel in zip(bar_lefts, panels, strict=True)
    )
    for one, panel in zip(axes, panels, strict=True):
        _show(one, panel)
    x, y = MARGIN_IN / total_in[0], 1 - 0.22 / total_in[1]
    figure.text(x, y, title, size=15, weight="bold", va="top")
    figure.text(x, y - 0.28 / total_in[1], subtitle, size=9, color=GREY, va="top")
    return Sheet(figure=figure, panels=axes, bars=bars)


def grey(thumbnail: Thumbnail) -> Thumbnail:
    """Take the stain out and lighten it, so that colours laid over it read as the colour bar shows them."""
    luma = thumbnail.rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    pale = (255 - 0.7 * (255 - luma)).round().astype(np.uint8)
    return Thumbnail(rgb=np.repeat(pale[..., None], 3, axis=-1), slide_size_px=thumbnail.slide_size_px)


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
    width, height = axes.get_xlim()[1], axes.get_ylim()[0]
    length_um = round_length(width * mpp / 4)
    right, y = width * 0.97, height * 0.96
    outline = [withStroke(linewidth=4.5, foreground="white")]
    axes.plot(
        [right - length_um / mpp, right],
        [y, y],
        color="black",
        lw=2.5,
        solid_capstyle="butt",
        path_effects=outline,
    )
    label = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
    middle = right - length_um / mpp / 2
    text = axes.annotate(
        label, (middle, y), (0, 4), textcoords="offset points", ha="center", va="bottom", size=9
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
        figure.savefig(partial, format=kind)


def _panel_size(slide_size_px: tuple[int, int]) -> tuple[float, float]:
    width, height = (side / max(slide_size_px) * PANEL_IN for side in slide_size_px)
    return round(width * DPI) / DPI, round(height * DPI) / DPI  # whole pixels


def _axes(figure: Figure, left_in: float, width_in: float, height_in: float) -> Axes:
    total = figure.get_size_inches()
    return figure.add_axes(
        (left_in / total[0], MARGIN_IN / total[1], width_in / total[0], height_in / total[1])
    )


def _show(axes: Axes, panel: Panel) -> None:
    width, height = panel.picture.slide_size_px
    axes.imshow(panel.picture.rgb, extent=(0, width, height, 0), aspect="auto")
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.set_title(panel.caption, size=10, loc="left", pad=4)
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, color=GREY)
