"""Fitting a vendor's section to its slide: the µm per pixel, the guard, and the spots that are left."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from miso.errors import AlignmentError
from miso.geometry import TileSpec
from miso.samples.guard import check_detail, check_image_size, check_on_image, on_slide
from miso.samples.spots import Spots
from miso.samples.vendors.section import VendorSection
from miso.slides import Slide
from miso.slides.resolution import choose_resolution

OffImage = Literal["error", "drop"]
"""Whether spots off the image are an error, or are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """How tiles are cut, and what the user knows better.

    Attributes
    ----------
    tile_px, mpp, level
        Side of a tile, and the resolution it is read at: `mpp`, or that of a pyramid level.
    slide_mpp
        µm per level-0 pixel of the slide, where the user knows it.
    off_image
        Whether spots off the image are an error or are left out.
    trust_alignment
        Whether to do without the comparison of image and spots.
    """

    tile_px: int = 224
    mpp: float = 0.5
    level: int | None = None
    slide_mpp: float | None = None
    off_image: OffImage = "error"
    trust_alignment: bool = False

    def tile_on(self, slide: Slide) -> TileSpec:
        """Return the tile; on a pyramid level its resolution is the slide's."""
        mpp = self.mpp if self.level is None else slide.level_mpp(self.level)
        return TileSpec(size_px=self.tile_px, mpp=mpp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A section on its slide: the spots that are left, the tile, and any doubts, a sentence each."""

    section: VendorSection
    tile: TileSpec
    warnings: list[str]


def fit_to_slide(section: VendorSection, slide: Slide, options: IngestOptions) -> Fitted:
    """Give the slide its resolution, and refuse what by its numbers does not belong together.

    No pixel is looked at: whether the spots lie on tissue is for `guard.check_on_tissue` to say.

    Raises
    ------
    SlideError
        If nothing says the resolution.
    AlignmentError
        If image and spots are not of one another; see `miso.samples.guard`.
    """
    if not options.trust_alignment:
        check_image_size(slide.size_px, slide.path.name, section)
    tagged = slide.resolution if slide.has_resolution else None
    chosen, warnings = choose_resolution(options.slide_mpp, section.resolutions, tagged, slide.path.name)
    slide.resolve(chosen)
    tile = options.tile_on(slide)
    check_detail(slide, tile, section.layout)
    if options.off_image == "drop":
        section = _on_image(section, slide)
    check_on_image(section, slide)
    return Fitted(section=section, tile=tile, warnings=warnings)


def _on_image(section: VendorSection, slide: Slide) -> VendorSection:
    inside = on_slide(section.spots.center_xy, slide.size_px)
    if inside.all():
        return section
    if not inside.any():
        raise AlignmentError(f"not one spot of {section.name!r} lies on {slide.path.name!r}")
    left_out = f"{(~inside).sum()} of {len(inside)} spots lie off the image and were left out"
    return replace(section, spots=take_spots(section.spots, inside, left_out))


def take_spots(spots: Spots, kept: NDArray[np.bool_], note: str) -> Spots:
    """Return some of the spots, with a note on why."""
    return replace(
        spots,
        barcodes=[name for name, keep in zip(spots.barcodes, kept, strict=True) if keep],
        center_xy=spots.center_xy[kept],
        array_xy=spots.array_xy[kept],
        counts=spots.counts[kept],
        tables={name: table[kept] for name, table in spots.tables.items()},
        notes=[*spots.notes, note],
    )
