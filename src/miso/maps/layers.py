"""What lies over a slide in the panels of a picture: cells of a map or spots, in units and their colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from miso.errors import MapError
from miso.geometry import Points, Raster
from miso.maps.canvas import (
    COLORS,
    DPI,
    PANEL_IN,
    Panel,
    color_bar,
    color_limits,
    grey,
    scale_bar,
    sheet,
)
from miso.maps.cutout import Cutout
from miso.maps.sampling import Plane, Values
from miso.maps.thumbnail import Box, Thumbnail

Limits = tuple[float, float]
Along = Float[NDArray[np.floating], " pixel"]
Outlines = Sequence[Float[NDArray[np.float64], "point 2"]]

HATCH, HATCH_PX, LINE_PX, RIM_PX = "#e7298a", 40, 3, 4
"""Novel cells: a colour that no map has; in pixels, distance and width of the lines, and width of the rim."""
LOG_SPAN = 1000.0
"""Of a logarithmic scale: the largest ratio of its ends, unless limits are given."""
OUTLINE = "#00441b"
"""Dark green: the one hue that neither haematoxylin nor eosin has."""
CIRCLE_POINTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Values of the cells of a raster, NaN where nothing was seen."""

    plane: Plane
    raster: Raster

    @property
    def values(self) -> Plane:
        """What the colours are for."""
        return self.plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Spots:
    """Values of spots, NaN where a spot is hollow, and their outlines in level-0 pixels."""

    outlines: Outlines
    values: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one panel shows over the slide in grey.

    Attributes
    ----------
    caption, note, marked
        What stands above the panel; a marked note stands out.
    scale
        Layers of one scale have the same colours for the same values.
    log
        Whether the colours are logarithmic; values of 0 and below get the lowest.
    novelty
        Cells beyond 1 are hatched.
    """

    drawn: Cells | Spots
    caption: str
    units: str
    scale: str
    note: str = ""
    marked: bool = False
    log: bool = False
    colors: str = COLORS
    novelty: Cells | None = None


def draw_layers(
    layers: Sequence[Layer | None],
    picture: Thumbnail | Cutout,
    *,
    mpp: float,
    title: str,
    subtitle: str = "",
    view: Box | None = None,
    columns: int | None = None,
    limits: Mapping[str, Limits] | None = None,
    percentiles: Limits = (1, 99),
    alpha: float = 0.8,
    outlines: Outlines = (),
) -> Figure:
    """Draw a panel a layer, and the bare slide for None, all at the same part of the slide.

    Parameters
    ----------
    view
        The part that is shown, by default all of the picture.
    columns
        Panels in a row, all by default.
    limits
        Values at the ends of the colours, by scale; by default the `percentiles` of what is seen.
    alpha
        Opacity of cells; NaN cells are transparent.
    outlines
        Closed lines that every panel shows, in level-0 pixels.
    """
    pale: Thumbnail | Cutout = grey(picture)
    view = view or picture.box
    panels = [
        Panel(picture=picture, caption="H&E")
        if layer is None
        else Panel(picture=pale, caption=layer.caption, note=layer.note, marked=layer.marked, bar=True)
        for layer in layers
    ]
    page = sheet(panels, title=title, subtitle=subtitle, view=view, columns=columns)
    norms = _norms([layer for layer in layers if layer is not None], limits or {}, percentiles)
    for index, (axes, layer) in enumerate(zip(page.panels, layers, strict=True)):
        if layer is not None:
            color_bar(page, index, _paint(axes, layer, norms[layer.scale], alpha), layer.units)
            if layer.novelty is not None:
                axes.imshow(hatching(layer.novelty, view), extent=view.extent, aspect="auto", zorder=3)
        draw_outlines(axes, outlines)
        scale_bar(axes, mpp)
    return page.figure


def circles(center_xy: Points, diameter_px: float) -> Outlines:
    """Return the outlines of discs."""
    angle = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=-1) / 2
    return list(np.asarray(center_xy, dtype=np.float64)[:, None] + unit * diameter_px)


def draw_outlines(axes: Axes, outlines: Outlines, width_pt: float = 1.4) -> None:
    """Draw closed lines that show on tissue, glass and maps."""
    lines = PolyCollection(
        list(outlines), facecolor="none", edgecolor=OUTLINE, linewidth=width_pt, closed=True, zorder=4
    )
    lines.set_path_effects([withStroke(linewidth=width_pt + 1.4, foreground="white")])
    axes.add_collection(lines, autolim=False)


def hatching(
    novelty: Cells, view: Box, longer_px: int = round(PANEL_IN * DPI)
) -> UInt8[NDArray[np.uint8], "height width 4"]:
    """Paint a view clear but for lines and a rim where cells are beyond 1."""
    scale = longer_px / max(view.size_px)
    x, y = (
        start + (np.arange(max(round(side * scale), 1)) + 0.5) / scale
        for start, side in zip((view.left, view.top), view.size_px, strict=True)
    )
    novel = _beyond_one(novelty, x, y)
    stripes = np.add.outer(np.arange(len(y)), np.arange(len(x))) % HATCH_PX < LINE_PX
    inner = binary_erosion(novel, iterations=RIM_PX, border_value=1)
    painted = np.zeros((*novel.shape, 4), dtype=np.uint8)
    painted[..., :3] = np.round(255 * np.asarray(to_rgb(HATCH)))
    painted[..., 3] = np.where(novel & (stripes | ~inner), 255, 0)
    return painted


def _beyond_one(cells: Cells, x: Along, y: Along) -> Bool[NDArray[np.bool_], "height width"]:
    (x0, y0), step, (rows, columns) = cells.raster.origin_xy, cells.raster.step_px, cells.raster.shape
    column, row = (np.floor((at - start) / step + 0.5).astype(int) for at, start in ((x, x0), (y, y0)))
    inside = np.outer((row >= 0) & (row < rows), (column >= 0) & (column < columns))
    found = cells.plane[np.ix_(row.clip(0, rows - 1), column.clip(0, columns - 1))]
    return np.asarray(inside & (found > 1))


def _norms(layers: Sequence[Layer], given: Mapping[str, Limits], percentiles: Limits) -> dict[str, Normalize]:
    """Return what turns values into colours, by scale."""
    norms: dict[str, Normalize] = {}
    for scale in dict.fromkeys(layer.scale for layer in layers):
        alike = [layer for layer in layers if layer.scale == scale]
        values = np.concatenate([np.ravel(layer.drawn.values) for layer in alike])
        if alike[0].log:
            norms[scale] = LogNorm(*(given.get(scale) or _log_limits(values, percentiles)))
        else:
            norms[scale] = Normalize(*(given.get(scale) or color_limits(values, percentiles)))
        low, high = norms[scale].vmin, norms[scale].vmax
        assert low is not None
        assert high is not None
        if not low < high or (alike[0].log and low <= 0):
            raise MapError(
                f"limits {low:g} to {high:g}: the first has to be lower"
                f"{', and above 0 on a logarithmic scale' if alike[0].log else ''}"
            )
    return norms


def _log_limits(values: Values, percentiles: Limits) -> Limits:
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return 0.1, 1.0
    low, high = color_limits(np.log10(positive), percentiles)
    return float(10 ** max(low, high - np.log10(LOG_SPAN))), float(10**high)


def _paint(axes: Axes, layer: Layer, norm: Normalize, alpha: float) -> ScalarMappable:
    drawn = layer.drawn
    values = np.ma.masked_invalid(drawn.values)
    if isinstance(norm, LogNorm) and norm.vmin is not None:
        values = np.ma.masked_invalid(np.where(drawn.values <= 0, norm.vmin / 2, drawn.values))
    if isinstance(drawn, Spots):
        spots = PolyCollection(list(drawn.outlines), edgecolor="black", linewidth=0.5)
        spots.set(array=values, cmap=layer.colors, norm=norm)
        axes.add_collection(spots, autolim=False)
        return spots
    return axes.imshow(
        values,
        extent=_extent(drawn.raster),
        aspect="auto",
        cmap=layer.colors,
        norm=norm,
        alpha=alpha,
        interpolation="nearest" if max(drawn.plane.shape) <= PANEL_IN * DPI else "antialiased",
    )


def _extent(raster: Raster) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) edges of the cells in level-0 pixels."""
    (x, y), step, (rows, columns) = raster.origin_xy, raster.step_px, raster.shape
    left, top = x - step / 2, y - step / 2
    return left, left + columns * step, top + rows * step, top
