"""The layers that a gene has in a picture: measured, predicted at spots, and each map with its spread."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import anndata
import numpy as np
import shapely

from miso.errors import MapError
from miso.geometry import Raster
from miso.maps.aggregate import Window, spots_of, window_about
from miso.maps.expression_map import ExpressionMap
from miso.maps.layers import Cells, Layer, Outlines, Spots
from miso.maps.sampling import Plane
from miso.maps.thumbnail import Box
from miso.registry import unknown
from miso.samples import Sample
from miso.samples.targets import find_target, target_columns, target_values

SPREAD = "magma"
"""Colours of spread: perceptually uniform too, and not those of expression."""
GRADES = {
    "A": "grade A",
    "B": "grade B",
    "C": "grade C: cross-validation bears it out weakly",
    "D": "grade D: cross-validation does not bear it out",
    "untested": "not cross-validated",
}
LOW = ("C", "D")
"""Grades of low reliability, which are marked."""


def scale_of(gene: str, units: str) -> str:
    """Name what maps of one gene and unit share: their colours."""
    return f"{gene} in {units}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is drawn of each gene."""

    maps: Sequence[ExpressionMap]
    view: Box
    std: bool
    log: bool
    sample: Sample | None
    predictions: anndata.AnnData | None

    def layers(self, gene: str) -> Iterator[Layer]:
        """Yield what was measured and predicted at spots, then each map and its spread."""
        if self.sample is not None:
            regions = spots_of(self.sample, self.maps[0])
            outlines = [np.asarray(shapely.get_coordinates(region.polygon)) for region in regions]
            yield self._measured(gene, self.sample, outlines)
            if self.predictions is not None:
                yield self._predicted(gene, self.sample, self.predictions, outlines)
        for map_ in self.maps:
            yield self._cells(gene, map_)
            if self.std:
                yield self._spread(gene, map_)

    def _cells(self, gene: str, map_: ExpressionMap) -> Layer:
        window, grade = _window(map_, self.view), map_.grades.get(gene)
        several = len(self.maps) > 1
        notes = [
            *([map_.path.stem] if several else [map_.header.how_made]),
            f"cells of {map_.pitch_um:.3g} µm",
        ]
        novelty = None if map_.novelty is None else _part(map_.novelty, map_.raster, window)
        return Layer(
            drawn=_placed(map_.part(gene, window.rows, window.columns), map_.raster, window),
            caption=f"{gene}: {map_.header.how_made if several else 'predicted'}",
            note=" · ".join([*notes, *([GRADES.get(grade, f"grade {grade}")] if grade else [])]),
            marked=grade in LOW,
            units=map_.units,
            scale=scale_of(gene, map_.units),
            log=self.log,
            novelty=novelty if novelty is not None and (novelty.plane > 1).any() else None,
        )

    def _spread(self, gene: str, map_: ExpressionMap) -> Layer:
        plane = map_.std(gene)
        assert plane is not None
        return Layer(
            drawn=_part(plane, map_.raster, _window(map_, self.view)),
            caption=f"{gene}: spread",
            note="over models and windows" + (f" · {map_.header.how_made}" if len(self.maps) > 1 else ""),
            units=f"standard deviation, {map_.units}",
            scale=f"spread of {scale_of(gene, map_.units)}",
            colors=SPREAD,
        )

    def _measured(self, gene: str, sample: Sample, outlines: Outlines) -> Layer:
        target = find_target(str(self.maps[0].provenance.get("target", "raw")), [sample])
        if gene not in (known := target_columns(sample, target)):
            raise MapError(f"{unknown('gene', gene, known)} (measured in sample {sample.name!r})")
        return Layer(
            drawn=Spots(outlines=outlines, values=target_values(sample, target, [gene])[:, 0]),
            caption=f"{gene}: measured",
            note=f"{len(outlines)} spots of {sample.name}",
            units=target.units,
            scale=f"measured {gene}",
            log=self.log,
        )

    def _predicted(self, gene: str, sample: Sample, found: anndata.AnnData, outlines: Outlines) -> Layer:
        if gene not in (known := list(map(str, found.var_names))):
            raise MapError(f"{unknown('gene', gene, known)} (in the predictions)")
        at = found.obs_names.get_indexer(sample.adata.obs_names)
        if (at < 0).all():
            raise MapError(
                f"the predictions are of none of the {len(at)} spots of sample {sample.name!r} (first: "
                f"{sample.adata.obs_names[0]!r}); pass those of this sample, as miso predict writes them"
            )
        values = np.asarray(found[:, [gene]].X, dtype=np.float32)[:, 0]
        units = str(found.uns.get("miso", {}).get("units", self.maps[0].units))
        return Layer(
            drawn=Spots(outlines=outlines, values=np.where(at < 0, np.float32(np.nan), values[at])),
            caption=f"{gene}: predicted at spots",
            note=f"{int((at >= 0).sum())} spots of {sample.name}",
            units=units,
            scale=f"predicted {gene} at spots",  # spots are means, and would look pale beside cells
            log=self.log,
        )


def _window(map_: ExpressionMap, view: Box) -> Window:
    return window_about(map_, [shapely.box(view.left, view.top, view.right, view.bottom)])


def _part(plane: Plane, raster: Raster, window: Window) -> Cells:
    return _placed(plane[window.rows, window.columns], raster, window)


def _placed(plane: Plane, raster: Raster, window: Window) -> Cells:
    """Put the values of a window on its part of the raster."""
    x, y = raster.origin_xy
    step, origin = raster.step_px, (window.columns.start, window.rows.start)
    corner = x + origin[0] * step, y + origin[1] * step
    return Cells(plane=plane, raster=Raster(origin_xy=corner, step_px=step, shape=window.shape))
