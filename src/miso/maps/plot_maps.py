"""Maps of one slide side by side: genes, strides, spread and spots, of the whole slide or a part close up."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata
import shapely
from matplotlib.figure import Figure

from miso.errors import MapError
from miso.maps.canvas import save
from miso.maps.cutout import Cutout, box_about_regions, picture_of
from miso.maps.expression_map import ExpressionMap
from miso.maps.layers import Layer, Limits, Outlines, draw_layers
from miso.maps.regions import Region
from miso.maps.scene import Scene, scale_of
from miso.maps.thumbnail import Box, Thumbnail
from miso.samples import Sample

IN_A_ROW, MOST_PANELS, MOST_IN_TITLE = 4, 48, 6
"""Panels of one map that stand in a row, panels that a picture holds, and genes that its title names."""


def plot_maps(maps: Sequence[ExpressionMap], genes: Sequence[str], out: Path | str, **options: Any) -> None:
    """Save the picture of genes in maps of one slide; `options` are those of `draw_maps`."""
    save(draw_maps(maps, genes, **options), out)


def draw_maps(
    maps: Sequence[ExpressionMap],
    genes: Sequence[str],
    *,
    zoom: Box | None = None,
    regions: Sequence[Region] = (),
    sample: Sample | None = None,
    predictions: anndata.AnnData | None = None,
    std: bool = False,
    limits: Limits | None = None,
    log: bool = False,
    percentiles: Limits = (1, 99),
    alpha: float = 0.8,
) -> Figure:
    """Draw the slide, and beside it genes as one or several maps have them.

    A gene has the same colours in all maps of the same units, so that these can be compared. Cells that lie
    further from the training tiles than those of training do (novelty above 1) are hatched.

    Parameters
    ----------
    zoom, regions
        The part that is shown: a box, or what regions span; these are outlined. The slide's own pixels are
        shown if the file is still where it was, otherwise the map's thumbnail.
    sample, predictions
        A Sample on the same slide, whose measured values are drawn beside the maps; and what a run predicts
        of its spots (as `Predictor.predict` returns it).
    std
        Draw the spread of each map beside it.
    limits, percentiles, log
        Values at the ends of the colours, by default percentiles of what is shown; log for a logarithmic
        scale. Spread takes neither limits nor log, and what was measured no limits.
    alpha
        Opacity of the maps; NaN cells are transparent.

    Raises
    ------
    MapError
        If a gene is unknown, the maps are of several slides, spread was not kept, limits are no range, or
        there are too many panels.
    RegionError
        If the regions lie off the slide.
    """
    first, genes = _check(maps, genes, std=std), list(dict.fromkeys(genes))
    slide = first.header.slide
    view = zoom or (box_about_regions(regions, slide.size_px) if regions else first.thumbnail.box)
    scene = Scene(maps=maps, view=view, std=std, log=log, sample=sample, predictions=predictions)
    layers, columns = _arranged([list(scene.layers(gene)) for gene in genes])
    picture = picture_of(first, view)
    return draw_layers(
        layers,
        picture,
        mpp=slide.mpp,
        title=", ".join(genes) if len(genes) <= MOST_IN_TITLE else f"{len(genes)} genes",
        subtitle=_subtitle(first, picture, view, layers),
        view=view,
        columns=columns,
        limits={scale_of(gene, map_.units): limits for gene in genes for map_ in maps} if limits else None,
        percentiles=percentiles,
        alpha=alpha,
        outlines=_rings(regions),
    )


def _check(maps: Sequence[ExpressionMap], genes: Sequence[str], *, std: bool) -> ExpressionMap:
    """Refuse what cannot be drawn together; return the first map."""
    if not maps or not genes:
        raise MapError("nothing to draw: name at least one map and one gene")
    first = maps[0]
    for map_ in maps:
        slide, other = first.header.slide, map_.header.slide
        if (other.fingerprint, other.size_px) != (slide.fingerprint, slide.size_px):
            raise MapError(
                f"{first.path.name} is a map of {slide.name!r} and {map_.path.name} of {other.name!r}, "
                "another file; maps of one slide go into one picture"
            )
        map_.select(genes)  # names what is unknown
        if std and map_.std_values is None:
            raise MapError(f"{map_.path} keeps no spread; leave --std out, or map the slide with --std")
    return first


def _arranged(by_gene: Sequence[Sequence[Layer]]) -> tuple[list[Layer | None], int]:
    """Put layers behind the bare slide: all in a row or, where genes have several each, a gene a row."""
    of_gene = len(by_gene[0])
    layers: list[Layer | None]
    if len(by_gene) == 1:
        layers, columns = [None, *by_gene[0]], of_gene + 1
    elif of_gene == 1:
        layers = [None, *(layer for found in by_gene for layer in found)]
        columns = min(IN_A_ROW, len(layers))
    else:
        layers = [layer for found in by_gene for layer in (None, *found)]
        columns = of_gene + 1
    if len(layers) > MOST_PANELS:
        raise MapError(
            f"{len(layers)} panels are too many for one picture, which holds {MOST_PANELS}; "
            "draw fewer genes or maps at a time"
        )
    return layers, columns


def _subtitle(
    map_: ExpressionMap, picture: Thumbnail | Cutout, view: Box, layers: Sequence[Layer | None]
) -> str:
    slide = map_.header.slide
    parts = [slide.name]
    if view != map_.thumbnail.box:
        width, height = (round(side * slide.mpp) for side in view.size_px)
        x, y = (view.left + view.right) // 2, (view.top + view.bottom) // 2
        parts.append(f"{width} × {height} µm about x {x}, y {y} px")
        if isinstance(picture, Thumbnail):
            parts.append("H&E from the map's thumbnail, since the slide is not there")
    if any(layer is not None and layer.novelty is not None for layer in layers):
        parts.append("hatched: unlike the training tiles (novelty above 1)")
    if (far := map_.slide_novelty) is not None and far > 1:
        parts.append(f"the slide is unlike those of training ({far:.2g} times as far as any of them)")
    return " · ".join(parts)


def _rings(regions: Sequence[Region]) -> Outlines:
    """Return the outer and inner outlines of regions."""
    parts = shapely.get_parts([region.polygon for region in regions])
    return [shapely.get_coordinates(ring) for ring in shapely.get_rings(parts)]
