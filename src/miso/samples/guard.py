"""The guard at the door: are these spots and this image of one another? Each mistake has a name."""

from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import AlignmentError
from miso.geometry import Points, TileSpec
from miso.samples.spots import Spots
from miso.samples.vendors.section import SmallPicture, VendorSection
from miso.slides import Slide
from miso.slides.brightfield import looks_like_he
from miso.slides.mask import SlideMask
from miso.units import in_px

SIZE_SLACK = 0.002
"""Sizes of one image may differ by this share besides rounding: some scanners' files pad a few pixels."""
SAME_SCALE = 0.02
"""Ratios along x and y closer than this are one scale."""
MAX_MAGNIFICATION = 4.0
"""Tiles finer than the image by more than this are made of interpolation, not of tissue."""
NO_TISSUE, LITTLE_TISSUE = 0.1, 0.5
"""Mean share of tissue under the spots: below the first it is the wrong image, below the second doubtful."""
CLEARLY_BETTER = 0.25
"""By how much more tissue another placement must have under its spots to be named."""


class Placed(Protocol):
    """What is known of the image that spots were placed on."""

    @property
    def full_size_px(self) -> tuple[int, int] | None:
        """(width, height) of the full-resolution image."""
        ...

    @property
    def size_slack_px(self) -> float:
        """How far off that may be."""
        ...

    @property
    def pictures(self) -> list[SmallPicture]:
        """Pictures that are passed for it by mistake."""
        ...


def check_image_size(size_px: tuple[int, int], image_name: str, section: Placed) -> None:
    """Refuse an image whose size says that spots were placed on another one.

    Raises
    ------
    AlignmentError
        If it is one of the folder's small pictures, a scaled or turned copy, or of another size altogether.
    """
    full = section.full_size_px
    if full is not None and _same(size_px, full, section.size_slack_px):
        return
    wanted = f"the full-resolution image{'' if full is None else f' of {in_px(full)}'}"
    alike = [picture for picture in section.pictures if picture.size_px == size_px]
    if alike:
        picture = next((one for one in alike if one.path.name == image_name), alike[0])
        raise AlignmentError(
            f"{image_name!r} ({in_px(size_px)}) is the {picture.name} picture, not {wanted} that the spots "
            "were placed on; pass the image that was given to the vendor's pipeline"
        )
    if full is None:
        return
    along_x, along_y = size_px[0] / full[0], size_px[1] / full[1]
    raise AlignmentError(
        f"the spots were placed on {wanted}, but {image_name!r} has {in_px(size_px)}"
        + _how_it_differs(along_x, along_y, size_px, section)
    )


def _how_it_differs(along_x: float, along_y: float, size_px: tuple[int, int], section: Placed) -> str:
    assert section.full_size_px is not None
    scales = {picture.name: picture.scale for picture in section.pictures if picture.scale}
    if abs(along_x / along_y - 1) <= SAME_SCALE:
        near = [name for name, scale in scales.items() if abs(along_x / scale - 1) <= SAME_SCALE]
        what = f", the scale of the {near[0]} picture" if near else ""
        return f": a copy at {along_x:.3g} times its size{what}; pass the original"
    if _same(size_px[::-1], section.full_size_px, section.size_slack_px):
        return ": it seems turned by 90°; pass it as it was given to the vendor's pipeline"
    return ": another image, or a crop of it"


def check_detail(slide: Slide, tile: TileSpec, layout: str = "") -> None:
    """Refuse to magnify an image until its tiles are nothing but interpolation.

    Raises
    ------
    AlignmentError
        If tiles are finer than the image by more than `MAX_MAGNIFICATION`.
    """
    if slide.mpp <= MAX_MAGNIFICATION * tile.mpp:
        return
    view = (
        "; this is the view of the CytAssist instrument, and no microscope image was given to Space Ranger"
        if "CytAssist" in layout
        else ""
    )
    raise AlignmentError(
        f"{slide.path.name!r} has {slide.resolution}: tiles at {tile.mpp:g} µm/px would magnify it "
        f"{slide.mpp / tile.mpp:.3g} times{view}; pass a finer image, or --mpp {slide.mpp:.3g} and a smaller "
        "--tile-size to take its pixels as they are"
    )


def check_on_image(section: VendorSection, slide: Slide) -> None:
    """Refuse spots that lie off the image.

    Raises
    ------
    AlignmentError
        If a spot's centre does; where swapped axes or a small picture's scale explain it, it says so.
    """
    off = int((~on_slide(section.spots.center_xy, slide.size_px)).sum())
    if off:
        raise AlignmentError(_off_image(section, slide, off))


def check_on_tissue(section: VendorSection, slide: Slide, tissue: SlideMask) -> list[str]:
    """Refuse spots that lie off the tissue; return what is doubtful, a sentence each.

    Raises
    ------
    AlignmentError
        If next to no spot lies on tissue, or clearly more would with the axes swapped or mirrored.
    """
    spots = section.spots
    found = tissue_share(spots, slide, tissue)
    share = found["as it is"]
    better = max(found, key=lambda name: found[name])
    if share < LITTLE_TISSUE and found[better] >= share + CLEARLY_BETTER:
        raise AlignmentError(
            f"{share:.0%} of the area under the spots of {section.name!r} is tissue, but {found[better]:.0%} "
            f"would be with {better}; is {slide.path.name!r} turned, or are the positions?"
        )
    if share < NO_TISSUE:
        why = looks_like_he(slide) or "not the image that they were placed on, or a blank one"
        raise AlignmentError(
            f"only {share:.0%} of the area under the {len(spots)} spots of {section.name!r} is tissue in "
            f"{slide.path.name!r}: {why}"
        )
    if share < LITTLE_TISSUE:
        return [f"only {share:.0%} of the area under the spots looks like tissue; look at alignment.png"]
    return []


def on_slide(center_xy: Points, size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether positions lie on an image of (width, height)."""
    return np.asarray(np.all((center_xy >= 0) & (center_xy < size_px), axis=1))


def tissue_share(spots: Spots, slide: Slide, tissue: SlideMask) -> dict[str, float]:
    """Mean share of tissue under the spots as they are, and for each other placement that fits the image."""
    side = spots.diameter_um / slide.mpp
    shares = {}
    for name, center_xy in _placements(spots.center_xy, slide.size_px).items():
        if on_slide(center_xy, slide.size_px).all():
            shares[name] = float(tissue.share(center_xy - side / 2, side).mean())
    return shares


def _placements(
    center_xy: Points, size_px: tuple[int, int]
) -> dict[str, Float[NDArray[np.float64], "spot 2"]]:
    width, height = size_px
    x, y = center_xy.T
    return {
        "as it is": center_xy,
        "x and y swapped": np.stack([y, x], axis=1),
        "x mirrored": np.stack([width - x, y], axis=1),
        "y mirrored": np.stack([x, height - y], axis=1),
        "both axes mirrored (a turn by 180°)": np.stack([width - x, height - y], axis=1),
    }


def _off_image(section: VendorSection, slide: Slide, off: int) -> str:
    center_xy, size_px = section.spots.center_xy, slide.size_px
    scales = [p for p in section.pictures if p.scale and on_slide(center_xy * p.scale, size_px).all()]
    if on_slide(center_xy[:, ::-1], size_px).all():
        hint = "with x and y swapped they all fit"
    elif scales and off > len(section.spots) / 2:
        hint = f"is it the {scales[0].name} picture? At its scale of {scales[0].scale:.3g} they all fit"
    else:
        hint = "is this the image that they were placed on? (--off-image drop leaves them out)"
    return (
        f"{off} of {len(section.spots)} spots of {section.name!r} lie off {slide.path.name!r} "
        f"({in_px(size_px)}); {hint}"
    )


def _same(first: tuple[int, int], second: tuple[int, int], slack_px: float) -> bool:
    return all(abs(a - b) <= max(slack_px, SIZE_SLACK * b) for a, b in zip(first, second, strict=True))
