"""Whether an image can be an H&E slide at all: told by a thumbnail from fluorescence and the like."""

import numpy as np

from miso.slides.slide import RGB, Slide

LOOK_PX = 768
"""Longer side of the thumbnail that is looked at."""
DARK, LIGHT = 64, 100
"""A pixel is dark where all channels are below the first, and light where all are from the second on."""
MOSTLY_DARK = 0.5
"""More dark pixels than this: a scanner's frame about a brightfield slide, or a dark field."""
LEAST_LIGHT = 0.25
"""Of what is not dark in a brightfield slide, at least this share is light: glass and pale tissue."""
COLOUR = 12
"""Channels that differ by no more than this grey level are grey."""
LEAST_COLOURED = 0.0002
"""Share of a slide that has some colour; a biopsy on a large slide has little more."""
BLANK = 6
"""Grey levels between the extremes (but for a thousandth on either side) of a picture that shows nothing."""


def looks_like_he(slide: Slide) -> str | None:
    """Say why an image cannot be brightfield H&E, as a clause, or None where it may be.

    The resolution need not be known. Other brightfield stains (immunohistochemistry) are not told apart.
    """
    picture, _ = slide.thumbnail(LOOK_PX)
    grey = picture.mean(axis=-1)
    low, middle, high = np.percentile(grey, [0.1, 50, 99.9])
    if high - low <= BLANK:
        return f"the image is blank (grey level {middle:.0f} of 255 all over)"
    has_colour = (np.ptp(picture, axis=-1) > COLOUR).mean() >= LEAST_COLOURED
    if _is_dark_field(picture, has_colour=has_colour):
        return (
            f"the image is dark (median grey level {middle:.0f} of 255), as fluorescence is; "
            "MISO reads brightfield H&E"
        )
    if not has_colour:
        return "the image has no colour; MISO reads H&E in colour"
    return None


def _is_dark_field(picture: RGB, *, has_colour: bool) -> bool:
    dark = picture.max(axis=-1) < DARK
    light = picture.min(axis=-1) >= LIGHT
    glass = has_colour and light.sum() >= LEAST_LIGHT * (~dark).sum()
    return bool(dark.mean() > MOSTLY_DARK and not glass)
