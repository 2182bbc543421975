"""What each tile of a slide shows, and why it is no good: background, pen, fold, blur; squares in level-0 px.

Tissue, pen and folds are found once a slide, on a thumbnail of about 8 µm per pixel. Sharpness needs
pixels: each tile with tissue is read at 1 µm per pixel, one at a time.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import SlideError
from miso.geometry import Points
from miso.slides.density import glass_density, optical_density, stain_amounts
from miso.slides.folds import density_excess, fold_mask
from miso.slides.ink import ink_mask
from miso.slides.mask import SlideMask, box_mean
from miso.slides.sharpness import COARSEST_MPP, LEAST_SHARP, SHARPNESS_MPP, tile_sharpness
from miso.slides.slide import Slide
from miso.slides.tissue import MASK_MPP, MIN_TILE_SHARE, draw_tissue, mask_thumbnail

REASONS = ("tissue", "background", "pen", "fold", "blur", "off slide")
"""What a tile is, in the order of a legend; all but "tissue" are reasons to leave it out."""
COLUMNS = (
    "on_slide",
    "tissue_share",
    "pen_share",
    "fold_share",
    "dark_share",
    "bright_share",
    "haematoxylin",
    "eosin",
    "sharpness",
    "reason",
)
LEAST_ON_SLIDE = 0.5
"""A tile of which less than this share lies on the slide is off it."""
PEN_SHARE = 0.25
"""From this share on ink decides what an encoder sees."""
FOLD_SHARE = 0.35
"""The same for folds, of the tile's tissue: the rims of what is merely dense stay below."""
NO_TISSUE = 1e-6
"""Shares up to here are rounding errors."""
JUDGED_SHARE = 0.25
"""Sharpness is measured where at least this share is tissue: glass is never sharp."""
LARGEST_LOOK_UM = 256.0
"""Of a larger tile the middle of this side is looked at for sharpness."""
DARK, BRIGHT = 12, 250
"""All channels up to, or from, these grey levels are saturated: what was there cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideQuality:
    """What is where on a slide, all on one thumbnail of about 8 µm per pixel.

    Attributes
    ----------
    tissue, pen, fold
        Tissue that ink does not cover, ink, and folds, which are part of the tissue.
    dark, bright
        Saturated pixels.
    stains
        Haematoxylin and eosin, in units of optical density (log10) beyond the glass.
    """

    tissue: SlideMask
    pen: SlideMask
    fold: SlideMask
    dark: SlideMask
    bright: SlideMask
    stains: Float[NDArray[np.float32], "row col 2"]


def slide_quality(slide: Slide, mpp: float = MASK_MPP) -> SlideQuality:
    """Look over a slide on a thumbnail of `mpp` µm per pixel; a slide coarser than that is taken as it is."""
    picture, mpp = mask_thumbnail(slide, mpp)
    density = optical_density(picture)
    beyond = density - glass_density(density)
    pen = ink_mask(beyond, mpp)
    tissue = draw_tissue(picture, mpp, pen)
    fold = fold_mask(density_excess(beyond, tissue, mpp), tissue, mpp)
    masks = {
        "tissue": tissue,
        "pen": pen,
        "fold": fold,
        "dark": picture.max(axis=-1) <= DARK,
        "bright": picture.min(axis=-1) >= BRIGHT,
    }
    drawn = {name: SlideMask(mask=mask, slide_size_px=slide.size_px) for name, mask in masks.items()}
    return SlideQuality(**drawn, stains=stain_amounts(beyond))


def assess_tiles(
    slide: Slide,
    origin_xy: Points,
    side_px: float,
    *,
    sharpness: bool = True,
    quality: SlideQuality | None = None,
) -> pd.DataFrame:
    """Measure square tiles and say what each shows.

    Parameters
    ----------
    origin_xy, side_px
        Top-left corners, (n, 2), and side, in level-0 pixels.
    sharpness
        Read the tiles that hold tissue and tell blurred ones. Without it, and on slides coarser than
        1.1 µm/px, sharpness is NaN and no tile is called blurred.
    quality
        What `slide_quality` made of the slide, where it is known already.

    Returns
    -------
    One row a tile, in order, with the columns `COLUMNS`:

    - `on_slide`: share of the tile that lies on the slide; the other shares are of that part
    - `tissue_share`, `pen_share`, `dark_share`, `bright_share`: 0 to 1; `fold_share`: of the tile's tissue
    - `haematoxylin`, `eosin`: mean over the tile's tissue in optical density (log10), NaN without tissue
    - `sharpness`: see `tile_sharpness`; NaN where it was not measured
    - `reason`: one of `REASONS`; the first that holds of off slide, pen, background, fold, blur

    Raises
    ------
    SlideError
        If the resolution is unknown, the tiles have no size, or the file is damaged.
    """
    origin_xy = np.asarray(origin_xy, dtype=np.float64).reshape(-1, 2)
    if not (np.isfinite(side_px) and side_px > 0) or not np.isfinite(origin_xy).all():
        raise SlideError(f"tiles of {side_px:g} px: corners and side are finite, and a side is above 0")
    quality = quality or slide_quality(slide)
    table = _shares(slide, quality, origin_xy, side_px)
    sharp = np.full(len(table), np.nan)
    if sharpness and slide.mpp <= COARSEST_MPP:
        judged = (table["tissue_share"] >= JUDGED_SHARE) & (table["on_slide"] >= LEAST_ON_SLIDE)
        for index in np.flatnonzero(judged):
            sharp[index] = read_sharpness(slide, origin_xy[index], side_px)
    table["sharpness"] = sharp
    table["reason"] = _reasons(table)
    return table[list(COLUMNS)]


def spot_quality(
    slide: Slide, center_xy: Points, side_px: float, *, quality: SlideQuality | None = None
) -> pd.DataFrame:
    """Measure the squares about spots; columns as of `assess_tiles`.

    Parameters
    ----------
    center_xy, side_px
        Where the spots lie, (n, 2), and the side of the squares, in level-0 pixels.
    quality
        What `slide_quality` made of the slide, where it is known already.
    """
    origin_xy = np.asarray(center_xy, dtype=np.float64) - side_px / 2
    return assess_tiles(slide, origin_xy, side_px, quality=quality)


def cover(slide: Slide, side_px: float) -> Points:
    """Top-left corners of squares that cover a slide without overlap, row by row, (n, 2) level-0 pixels."""
    columns, rows = (max(int(np.ceil(side / side_px - 1e-6)), 1) for side in slide.size_px)
    row, col = np.indices((rows, columns)).reshape(2, -1)
    return np.stack([col, row], axis=-1).astype(np.float64) * side_px


def read_sharpness(slide: Slide, origin_xy: NDArray[np.float64], side_px: float) -> float:
    """Read a tile (its middle, if it is large) at 1 µm per pixel and measure its sharpness."""
    look_um = min(side_px * slide.mpp, LARGEST_LOOK_UM)
    size = max(round(look_um / SHARPNESS_MPP), 1)
    x, y = np.asarray(origin_xy) + (side_px - size * SHARPNESS_MPP / slide.mpp) / 2
    return tile_sharpness(slide.read((float(x), float(y)), (size, size), SHARPNESS_MPP))


def _shares(slide: Slide, quality: SlideQuality, origin_xy: Points, side_px: float) -> pd.DataFrame:
    def mean(field: NDArray[np.float32] | NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.maximum(box_mean(field, slide.size_px, origin_xy, side_px), 0)  # rounding errors

    low = np.clip(origin_xy, 0, slide.size_px)
    high = np.clip(origin_xy + side_px, 0, slide.size_px)
    tissue = mean(quality.tissue.mask)
    has_tissue = tissue > NO_TISSUE
    with np.errstate(invalid="ignore", divide="ignore"):  # a tile without tissue has no amounts
        amounts = [mean(quality.stains[..., dye] * quality.tissue.mask) / tissue for dye in (0, 1)]
        fold = np.where(has_tissue, np.minimum(mean(quality.fold.mask) / tissue, 1), 0.0)
    return pd.DataFrame(
        {
            "on_slide": np.prod(high - low, axis=-1) / side_px**2,
            "tissue_share": tissue,
            "pen_share": mean(quality.pen.mask),
            "fold_share": fold,
            "dark_share": mean(quality.dark.mask),
            "bright_share": mean(quality.bright.mask),
            "haematoxylin": np.where(has_tissue, amounts[0], np.nan),
            "eosin": np.where(has_tissue, amounts[1], np.nan),
        }
    )


def _reasons(table: pd.DataFrame) -> pd.Categorical:
    """Name what each tile shows; earlier reasons go before later ones."""
    holds = {
        "off slide": table["on_slide"] < LEAST_ON_SLIDE,
        "pen": table["pen_share"] >= PEN_SHARE,
        "background": table["tissue_share"] < MIN_TILE_SHARE,
        "fold": table["fold_share"] >= FOLD_SHARE,
        "blur": table["sharpness"] < LEAST_SHARP,
    }
    chosen = np.select([mask.to_numpy() for mask in holds.values()], list(holds), default="tissue")
    return pd.Categorical(chosen, categories=list(REASONS))
