"""Marker pens on a slide: blue, green, black and red ink told from H&E by the hue of its optical density.

Haematoxylin and eosin both absorb green most. A blue marker absorbs red and hardly any blue, a green one
green least; a red and a black one absorb blue nearly as much as green. How far a slide's own tissue goes
differs between laboratories, so that the limits follow the slide within bounds. A thin red line on eosin is
eosin to the eye and to this; blood, melanin and other brown pigment in pieces of 200 µm count as ink.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage

from miso.slides.density import Density
from miso.slides.mask import small_pieces, without_thin

Mask = Bool[NDArray[np.bool_], "row col"]
Plane = Float[NDArray[np.float32], "row col"]

PALEST_INK = 0.3
"""Sum of density over the channels below which a hue is not to be trusted: a grey of 202."""
PALEST_BLACK = 0.9
"""The same for black ink: greys paler than 128 are shadow and dust, which are no tissue either."""
NEUTRAL = 0.045
"""Black ink's shares of the three channels are each within this of a third."""
LEAST_GREEN = 0.31
"""Green's share of density is below this in green ink; in H&E above 0.35 (99 % of tissue in five scans)."""
BLUENESS, BLUENESS_BEYOND = (0.55, 0.66), 0.3
"""(red − blue) / green of density. Blue ink is above the slide's median by the second number, but the limit
stays within the first two. Blue markers reach 1.3; in five scans 99.5 % of tissue stays below 0.62, and pure
haematoxylin (Ruifrok & Johnston 2001), which a slide may hold in few places, is 0.52."""
REDNESS, REDNESS_BEYOND = (0.42, 0.6), 0.33
"""The same for (blue − red) / green: red ink on tissue 0.3 to 0.7, eosin up to 0.37."""
WARMTH, WARMTH_BEYOND = (0.6, 0.9), 0.14
"""The same for blue / green, which red and black ink raise to 0.8–1; tissue ends at 0.41 (brain) to 0.88
(kidney)."""
RED_INK = (0.1, 0.6)
"""What has less than this share of red and more than this blue / green is red ink on any slide."""
RED_ON_TISSUE = (0.15, 0.66, 1.6)
"""The same on tissue, from this sum of density on: blood is paler, and eosin as deep has more red."""
NARROWEST_INK_UM = 64.0
"""Thinner lines are dropped, for no marker is as thin: rims of pigment, and colour fringes at edges."""
SMALLEST_INK_UM = 200.0
"""Side of a square: smaller pieces are pigment, dust, and vessels full of blood, which is as red as ink."""


def ink_mask(beyond: Density, mpp: float) -> Mask:
    """Find ink in a picture of density beyond the glass, (row, column, 3), at `mpp` µm per pixel."""
    density = np.maximum(ndimage.gaussian_filter(beyond, sigma=(1, 1, 0)), 0)
    total = density.sum(axis=-1)
    share = density / np.maximum(total, 1e-3)[..., None]
    black = (total >= PALEST_BLACK) & (np.abs(share - 1 / 3).max(axis=-1) < NEUTRAL)
    ink = black | ((total >= PALEST_INK) & _coloured(share, total))
    ink = without_thin(ink, NARROWEST_INK_UM / mpp)
    ink &= ~small_pieces(ink, (SMALLEST_INK_UM / mpp) ** 2)
    return np.asarray(ndimage.binary_dilation(ink) & (total > PALEST_INK / 2), dtype=np.bool_)


def _coloured(share: Float[NDArray[np.float32], "row col 3"], total: Plane) -> Mask:
    red, green, blue = np.moveaxis(share, -1, 0)
    blueness, warmth = (red - blue) / np.maximum(green, 1e-3), blue / np.maximum(green, 1e-3)
    tissue = (total >= PALEST_INK) & (green >= np.maximum(red, blue))
    on_tissue = (red < RED_ON_TISSUE[0]) & (warmth > RED_ON_TISSUE[1]) & (total >= RED_ON_TISSUE[2])
    blue_ink = blueness > _limit(blueness[tissue], BLUENESS, BLUENESS_BEYOND)
    warm_ink = warmth > _limit(warmth[tissue], WARMTH, WARMTH_BEYOND)
    red_ink = (red < RED_INK[0]) & (warmth > RED_INK[1])
    red_ink |= -blueness > _limit(-blueness[tissue], REDNESS, REDNESS_BEYOND)
    return np.asarray(blue_ink | warm_ink | red_ink | on_tissue | ((green < LEAST_GREEN) & (red > green)))


def _limit(ratio: Float[NDArray[np.float32], " pixel"], bounds: tuple[float, float], beyond: float) -> float:
    """Where a slide's tissue surely ends; found twice, the second time without the ink of the first."""
    limit = bounds[1]
    for _ in range(2):
        tissue = ratio[ratio <= limit]
        limit = float(np.clip(np.median(tissue) + beyond, *bounds)) if tissue.size else bounds[0]
    return limit
