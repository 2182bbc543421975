"""Pictures on a slide at exact places: a map, spots measured beside predicted, and where spots lie."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy.typing import NDArray

from miso.geometry import Points, Raster
from miso.maps.canvas import COLORS, Panel, save, scale_bar, sheet
from miso.maps.cutout import Cutout
from miso.maps.expression_map import ExpressionMap
from miso.maps.layers import Cells, Layer, Limits, Spots, circles, draw_layers, draw_outlines
from miso.maps.sampling import Plane
from miso.maps.thumbnail import Thumbnail

SpotValues = Float[NDArray[np.float32], " spot"]


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
    """Save the picture of a gene; see `draw_map`, and `miso.maps.plot_maps` for more than a gene or a map.

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
        subtitle=f"{map_.header.slide.name} · cells of {map_.pitch_um:.3g} µm",
        limits=limits,
        percentiles=percentiles,
        alpha=alpha,
        colors=colors,
    )


def draw_planes(
    planes: Mapping[str, tuple[Plane, str]],
    raster: Raster,
    picture: Thumbnail | Cutout,
    *,
    mpp: float,
    title: str,
    subtitle: str = "",
    limits: Limits | None = None,
    percentiles: Limits = (1, 99),
    alpha: float = 0.8,
    colors: str = COLORS,
) -> Figure:
    """Draw the slide, or a part of it, and beside it planes on one raster, by caption, with their units.

    Each has its own colours, unless `limits` are given.
    """
    layers = [
        Layer(
            drawn=Cells(plane=plane, raster=raster),
            caption=caption,
            units=units,
            scale=caption,
            colors=colors,
        )
        for caption, (plane, units) in planes.items()
    ]
    return draw_layers(
        [None, *layers],
        picture,
        mpp=mpp,
        title=title,
        subtitle=subtitle,
        limits=None if limits is None else dict.fromkeys(planes, limits),
        percentiles=percentiles,
        alpha=alpha,
    )


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
    discs = circles(center_xy, diameter_px)
    layers = [
        Layer(
            drawn=Spots(outlines=discs, values=np.asarray(each, dtype=np.float32)),
            caption=caption,
            units=units if isinstance(units, str) else units[caption],
            scale="all" if shared_limits else caption,
            colors=colors,
        )
        for caption, each in values.items()
    ]
    return draw_layers(layers, thumbnail, mpp=mpp, title=title, subtitle=subtitle, percentiles=percentiles)


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
    captions = ("H&E", f"{len(center_xy)} spots")
    panels = [Panel(picture=thumbnail, caption=caption) for caption in captions]
    page = sheet(panels, title=title, subtitle=subtitle)
    draw_outlines(page.panels[1], circles(center_xy, diameter_px), width_pt=0.8)
    for axes in page.panels:
        scale_bar(axes, mpp)
    save(page.figure, out)
