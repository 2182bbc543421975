"""A part of a slide and the picture of it, at its exact place in level-0 pixels."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import shapely

from miso.errors import MapError, SlideError
from miso.launch.provenance import fingerprint
from miso.maps.expression_map import ExpressionMap
from miso.maps.regions import Region, check_on_slide
from miso.maps.thumbnail import Box, Thumbnail
from miso.slides.open import open_slide
from miso.slides.slide import RGB, Slide
from miso.units import in_px

log = logging.getLogger(__name__)

CUTOUT_PX = 1536
"""Longer side of a picture of a part; where the part has no more pixels, they are the slide's own."""
MARGIN = 0.05
"""Of what regions span, left free about them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """`rgb` stretches exactly over `box`."""

    rgb: RGB
    box: Box

    @classmethod
    def of(cls, slide: Slide, box: Box, max_px: int = CUTOUT_PX) -> Self:
        """Read a part of a slide, at its own resolution or at most `max_px` wide; white off the slide."""
        step = max(max(box.size_px) / max_px, 1.0)
        width, height = (max(round(side / step), 1) for side in box.size_px)
        return cls(rgb=slide.read((box.left, box.top), (width, height), slide.mpp * step), box=box)


def box_about(
    center_xy: tuple[float, float], width_um: float, mpp: float, slide_size_px: tuple[int, int]
) -> Box:
    """Return the square of `width_um` about a position in level-0 pixels, in whole pixels.

    Raises
    ------
    MapError
        If it has no size, or lies off the slide.
    """
    if not (math.isfinite(width_um) and width_um > 0 and all(map(math.isfinite, center_xy))):
        raise MapError(f"a zoom of {width_um:g} µm: give X,Y in level-0 pixels and a width above 0 µm")
    side = max(round(width_um / mpp), 1)
    left, top = (round(at - side / 2) for at in center_xy)
    box = Box(left=left, top=top, right=left + side, bottom=top + side)
    if left >= slide_size_px[0] or top >= slide_size_px[1] or box.right <= 0 or box.bottom <= 0:
        raise MapError(
            f"the zoom of {width_um:g} µm about x {center_xy[0]:g}, y {center_xy[1]:g} lies off the slide of "
            f"{in_px(slide_size_px)}; give the position of its centre in level-0 pixels"
        )
    return box


def box_about_regions(regions: Sequence[Region], slide_size_px: tuple[int, int]) -> Box:
    """Return what regions span and a margin about it, as far as it lies on the slide.

    Raises
    ------
    RegionError
        If none of them lies on the slide.
    """
    check_on_slide(regions, slide_size_px)
    left, top, right, bottom = shapely.total_bounds([region.polygon for region in regions])
    margin = MARGIN * max(right - left, bottom - top)
    return Box(
        left=max(math.floor(left - margin), 0),
        top=max(math.floor(top - margin), 0),
        right=min(math.ceil(right + margin), slide_size_px[0]),
        bottom=min(math.ceil(bottom + margin), slide_size_px[1]),
    )


def picture_of(map_: ExpressionMap, box: Box) -> Cutout | Thumbnail:
    """Read a part of a map's slide, if the very file is still there; otherwise return the map's thumbnail."""
    known = map_.header.slide
    path = Path(known.path)
    if box == map_.thumbnail.box:
        return map_.thumbnail
    try:
        if fingerprint(path) == known.fingerprint:
            with open_slide(path, known.mpp) as slide:
                return Cutout.of(slide, box)
        log.warning("%s is another file than was mapped; what is shown is the map's thumbnail", path)
    except FileNotFoundError:
        log.warning("%s is not there; what is shown is the map's thumbnail", path)
    except (OSError, SlideError) as err:
        log.warning("%s cannot be read (%s); what is shown is the map's thumbnail", path, err)
    return map_.thumbnail
