"""Pictures on a slide at exact places: a map, spots measured beside predicted, and where spots lie."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from miso.geometry import Points, Raster
from miso.maps.canvas import (
    COLORS,
    DPI,
    PANEL_IN,
    Panel,
    color_bar,
    color_limits,
    grey,
    save,
    scale_bar,
    sheet,
)
from miso.maps.expression_map import ExpressionMap
from miso.maps.thumbnail import Thumbnail

Plane = Float[NDArray[np.float32], "row col"]
SpotValues = Float[NDArray[np.float32], " spot"]
Limits = tuple[float, float]

OUTLINE = "#00441b"
"""Dark green: the one hue that neither haematoxylin nor eosin has."""


def plot_map(
    map_: ExpressionMap,
    gene: str,
    out: Path | str,
    *,
    thumbnail: Thumbnail | None = None,
    limits: Limits | None = None,
    percentiles: Limits = (1, 99),
    alpha: float = 0.8,
    colors: str = COLORS,
) -> None:
    """Save the picture of a gene; see `draw_map`.

    Raises
    ------
    MapError
        If the map does not have the gene.
    """
    figure = draw_map(
        map_, gene, thumbnail=thumbnail, limits=limits, percentiles=percentiles, alpha=alpha, colors=colors
    )
    save(figure, out)


def draw_map(
    map_: ExpressionMap,
    gene: str,
    *,
    thumbnail: Thumbnail | None = None,
    limits: Limits | None = None,
    percentiles: Limits = (1, 99),
    alpha: float = 0.8,
    colors: str = COLORS,
) -> Figure:
    """Draw the slide, and beside it a gene's map over the slide in grey.

    Parameters
    ----------
    thumbnail
        A larger picture of the slide than the one that the map carries.
    limits
        Values at the ends of the colours; by default the `percentiles` of the cells that were seen.
    alpha
        Opacity of the map; NaN cells are transparent.
    """
    return draw_planes(
        {"predicted": (map_[gene], map_.units)},
        map_.raster,
        thumbnail or map_.thumbnail,
        mpp=map_.header.slide.mpp,
        title=gene,
        subtitle=f"{map_.header.slide.name} · cells of {map_.pitch_um:g} µm",
        limits=limits,
        percentiles=percentiles,
        alpha=alpha,
        colors=colors,
    )


def draw_planes(
    planes: Mapping[str, tuple[Plane, str]],
    raster: Raster,
    thumbnail: Thumbnail,
    *,
    mpp: float,
    title: str,
    subtitle: str = "",
    limits: Limits | None = None,
    percentiles: Limits = (1, 99),
    alpha: float = 0.8,
    colors: str = COLORS,
) -> Figure:
    """Draw the slide, and beside it planes on one raster, by caption, each with its units and colour bar."""
    pictures = [Panel(picture=grey(thumbnail), caption=caption, bar=True) for caption in planes]
    page = sheet([Panel(picture=thumbnail, caption="H&E"), *pictures], title=title, subtitle=subtitle)
    for index, (plane, units) in enumerate(planes.values(), start=1):
        low, high = limits or color_limits(plane, percentiles)
        drawn = page.panels[index].imshow(
            plane,
            extent=_extent(raster),
            aspect="auto",
            cmap=colors,
            vmin=low,
            vmax=high,
            alpha=alpha,
            interpolation="nearest" if max(plane.shape) <= PANEL_IN * DPI else "antialiased",
        )
        color_bar(page, index, drawn, units)
    for axes in page.panels:
        scale_bar(axes, mpp)
    return page.figure


def plot_spots(
    center_xy: Points,
    diameter_px: float,
    values: Mapping[str, SpotValues],
    thumbnail: Thumbnail,
    out: Path | str,
    *,
    mpp: float,
    units: str | Mapping[str, str],
    title: str,
    subtitle: str = "",
    shared_limits: bool = False,
    percentiles: Limits = (1, 99),
    colors: str = COLORS,
) -> None:
    """Save the picture of values at spots; see `draw_spots`."""
    figure = draw_spots(
        center_xy,
        diameter_px,
        values,
        thumbnail,
        mpp=mpp,
        units=units,
        title=title,
        subtitle=subtitle,
        shared_limits=shared_limits,
        percentiles=percentiles,
        colors=colors,
    )
    save(figure, out)


def draw_spots(
    center_xy: Points,
    diameter_px: float,
    values: Mapping[str, SpotValues],
    thumbnail: Thumbnail,
    *,
    mpp: float,
    units: str | Mapping[str, str],
    title: str,
    subtitle: str = "",
    shared_limits: bool = False,
    percentiles: Limits = (1, 99),
    colors: str = COLORS,
) -> Figure:
    """Draw one panel a set of values, such as measured beside predicted; spots are discs of their true size.

    Parameters
    ----------
    center_xy, diameter_px
        Where the spots lie, (n, 2), and how wide they are, in level-0 pixels.
    values
        By caption, one value a spot; spots with NaN are drawn hollow.
    units
        Of all the values, or by caption.
    shared_limits
        Give all panels the same colours for the same values; otherwise each panel has its own range, since
        counts and predictions seldom share one.
    """
    picture = grey(thumbnail)
    panels = [Panel(picture=picture, caption=caption, bar=True) for caption in values]
    page = sheet(panels, title=title, subtitle=subtitle)
    together = color_limits(np.concatenate([np.ravel(v) for v in values.values()]), percentiles)
    for index, (caption, each) in enumerate(values.items()):
        discs = _discs(page.panels[index], center_xy, diameter_px)
        discs.set(array=np.ma.masked_invalid(each), cmap=colors, edgecolor="black", linewidth=0.5)
        discs.set_clim(*(together if shared_limits else color_limits(np.asarray(each), percentiles)))
        color_bar(page, index, discs, units if isinstance(units, str) else units[caption])
        scale_bar(page.panels[index], mpp)
    return page.figure


def plot_alignment(
    center_xy: Points,
    diameter_px: float,
    thumbnail: Thumbnail,
    out: Path | str,
    *,
    mpp: float,
    title: str = "spots on the slide",
    subtitle: str = "",
) -> None:
    """Save the slide, and beside it the same with the outlines of the spots at their true size."""
    page = sheet(
        [
            Panel(picture=thumbnail, caption="H&E"),
            Panel(picture=thumbnail, caption=f"{len(center_xy)} spots"),
        ],
        title=title,
        subtitle=subtitle,
    )
    discs = _discs(page.panels[1], center_xy, diameter_px)
    discs.set(facecolor="none", edgecolor=OUTLINE, linewidth=0.8)
    discs.set_path_effects([withStroke(linewidth=2.2, foreground="white")])
    for axes in page.panels:
        scale_bar(axes, mpp)
    save(page.figure, out)


def _discs(axes: Axes, center_xy: Points, diameter_px: float) -> EllipseCollection:
    across = np.full(len(center_xy), diameter_px)
    discs = EllipseCollection(
        across, across, np.zeros_like(across), units="xy", offsets=center_xy, offset_transform=axes.transData
    )
    axes.add_collection(discs, autolim=False)
    return discs


def _extent(raster: Raster) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) edges of the cells in level-0 pixels."""
    (x, y), step, (rows, columns) = raster.origin_xy, raster.step_px, raster.shape
    left, top = x - step / 2, y - step / 2
    return left, left + columns * step, top + rows * step, top
