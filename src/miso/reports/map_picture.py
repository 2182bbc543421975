"""Small pictures of a map: a plane over the slide in grey, in the colours of `miso plot`, without text."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from PIL import Image

from miso.geometry import Raster
from miso.maps.canvas import COLORS, color_limits, grey
from miso.maps.layers import Cells, hatching
from miso.maps.sampling import Plane
from miso.maps.thumbnail import Box, Thumbnail
from miso.reports.picture import RGB, Picture, colored, jpeg, with_scale_bar
from miso.reports.thin_map import ThinMap

LONGEST_PX, FINER, MARGIN = 560, 2, 0.03
"""Longer side of a picture in px, how many times finer it is painted, and glass about tissue (share)."""
ALPHA, MOST_BYTES = 0.8, 110_000
Index = Int[NDArray[np.int64], " pixel"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapPainter:
    """Paints planes of one map, all of the same part of its slide.

    Attributes
    ----------
    view
        What is shown: the cells that were seen, and a margin.
    slide, pale
        That part of the slide, in its colours and in grey.
    rows, columns
        The cell under each row and column of pixels; -1 off the map.
    hatched
        Pixels that a line over novel cells covers, and the colour of the line.
    """

    view: Box
    slide: RGB
    pale: RGB
    rows: Index
    columns: Index
    hatched: tuple[Bool[NDArray[np.bool_], "height width"], RGB] | None
    um_per_px: float

    @classmethod
    def of(cls, thin: ThinMap, seen: Bool[NDArray[np.bool_], "row col"], novelty: Plane | None) -> Self:
        """Look at the part of a map's slide where cells were seen."""
        raster, slide, thumbnail = thin.raster, thin.map_.header.slide, thin.map_.thumbnail
        view = _view(raster, seen, slide.size_px)
        scale = FINER * LONGEST_PX / max(view.size_px)
        width, height = (max(round(side * scale), FINER) for side in view.size_px)
        (x, y), hatched = raster.origin_xy, None
        if novelty is not None and (novelty > 1).any():
            lines = hatching(Cells(plane=novelty, raster=raster), view, max(width, height))
            lines = lines[:height, :width]
            hatched = lines[..., 3] > 0, lines[..., :3]
        return cls(
            view=view,
            slide=_cut(thumbnail, view, (width, height)),
            pale=_cut(grey(thumbnail), view, (width, height)),
            rows=_cells(view.top, height, scale, y, raster.step_px, raster.shape[0]),
            columns=_cells(view.left, width, scale, x, raster.step_px, raster.shape[1]),
            hatched=hatched,
            um_per_px=slide.mpp / scale * FINER,
        )

    def bare(self) -> Picture:
        """Return the slide alone."""
        return self._finished(self.slide)

    def paint(
        self, plane: Plane, colors: str = COLORS, limits: tuple[float, float] | None = None
    ) -> tuple[Picture, tuple[float, float]]:
        """Paint a plane; return the ends of its colours too, by default percentiles 1 and 99."""
        shown = plane[np.ix_(self.rows, self.columns)]
        shown[self.rows < 0] = np.nan
        shown[:, self.columns < 0] = np.nan
        limits = limits or color_limits(plane)
        painted, _ = colored(shown, colors, limits)
        over = self.pale + ALPHA * (painted.astype(np.float32) - self.pale)
        mixed = np.where(np.isfinite(shown)[..., None], over, self.pale).round().astype(np.uint8)
        if self.hatched is not None:
            covered, line = self.hatched
            mixed = np.where(covered[..., None], line, mixed)
        return self._finished(mixed), limits

    def _finished(self, rgb: RGB) -> Picture:
        height, width = rgb.shape[:2]
        image = Image.fromarray(rgb).resize((width // FINER, height // FINER), Image.Resampling.BOX)
        return jpeg(with_scale_bar(image, self.um_per_px), MOST_BYTES)


def _view(raster: Raster, seen: Bool[NDArray[np.bool_], "row col"], size_px: tuple[int, int]) -> Box:
    """Return what seen cells span, with a margin, on the slide."""
    if not seen.any():
        return Box(left=0, top=0, right=size_px[0], bottom=size_px[1])
    bounds, half = [], raster.step_px / 2
    for axis, origin in enumerate(raster.origin_xy):
        along = np.flatnonzero(seen.any(axis=axis))
        first, last = (origin + cell * raster.step_px for cell in (along[0], along[-1]))
        bounds.append((first - half, last + half))
    margin = MARGIN * max(high - low for low, high in bounds)
    (left, right), (top, bottom) = bounds
    return Box(
        left=max(int(left - margin), 0),
        top=max(int(top - margin), 0),
        right=min(int(np.ceil(right + margin)), size_px[0]),
        bottom=min(int(np.ceil(bottom + margin)), size_px[1]),
    )


def _cut(thumbnail: Thumbnail, view: Box, size: tuple[int, int]) -> RGB:
    """Cut a part of the slide out of its thumbnail, at another size."""
    step_x, step_y = thumbnail.step_xy
    box = (view.left / step_x, view.top / step_y, view.right / step_x, view.bottom / step_y)
    image = Image.fromarray(thumbnail.rgb).resize(size, Image.Resampling.BICUBIC, box)
    return np.asarray(image, dtype=np.uint8)


def _cells(start: float, pixels: int, scale: float, origin: float, step: float, cells: int) -> Index:
    """Return the cell under the middle of each pixel; -1 off the map."""
    middle = start + (np.arange(pixels) + 0.5) / scale
    index = np.floor((middle - origin) / step + 0.5).astype(np.int64)
    return np.where((index >= 0) & (index < cells), index, -1)


def median(plane: Float[NDArray[np.floating], "row col"] | None) -> float:
    """Return the median of the cells that were seen; NaN of none."""
    known = plane[np.isfinite(plane)] if plane is not None else np.empty(0)
    return float(np.median(known)) if known.size else float("nan")
