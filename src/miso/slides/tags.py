"""Which resolution tags of an image are believed: those that a microscope could have written (µm/px)."""

from miso.units import Resolution, disagreement, is_plausible_mpp

COARSEST_TAG = 5.0
"""5 µm/px is about 5,000 dpi: coarser TIFF tags are print sizes (72, 96, 300 dpi)."""


def believed(mpp_x: float, mpp_y: float, source: str, print_sizes: bool) -> Resolution | None:
    """Return the resolution that tags say, or None where they cannot be believed.

    Parameters
    ----------
    print_sizes
        Whether the tags are ones that programs for print fill in too.
    """
    if not (is_plausible_mpp(mpp_x) and is_plausible_mpp(mpp_y)):
        return None
    along_x, along_y = Resolution(mpp=mpp_x, source=source), Resolution(mpp=mpp_y, source=source)
    if disagreement(along_x, along_y):  # no microscope has such pixels
        return None
    mpp = (mpp_x + mpp_y) / 2
    return None if print_sizes and mpp > COARSEST_TAG else Resolution(mpp=mpp, source=source)
