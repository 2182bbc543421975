"""Lengths: µm, level-0 pixels and the µm-per-pixel (mpp) between them, with where an mpp came from."""

from dataclasses import dataclass

ST_PITCH_UM = 200.0
"""Centre-to-centre distance of legacy Spatial Transcriptomics spots (Ståhl et al., Science 2016)."""
ST_SPOT_DIAMETER_UM = 100.0
"""Diameter of a legacy Spatial Transcriptomics spot."""
VISIUM_PITCH_UM = 100.0
"""Centre-to-centre distance of 10x Visium spots."""
VISIUM_SPOT_DIAMETER_UM = 55.0
"""Diameter of a 10x Visium spot; not what `spot_diameter_fullres` spans."""

PLAUSIBLE_MPP = (0.05, 20.0)
"""Outside this range a resolution tag is a print size or a typing error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Micrometres per level-0 pixel, and the source that says so."""

    mpp: float
    source: str

    def __str__(self) -> str:
        return f"{self.mpp:.4g} µm/px ({self.source})"


def is_plausible_mpp(mpp: float) -> bool:
    """Whether a value can be the resolution of a microscope image."""
    return PLAUSIBLE_MPP[0] <= mpp <= PLAUSIBLE_MPP[1]


def in_px(size_px: tuple[int, int]) -> str:
    """Word a (width, height)."""
    return f"{size_px[0]} × {size_px[1]} px"


def disagreement(first: Resolution, second: Resolution) -> str | None:
    """Describe two resolutions of one image that differ by more than 5 %, or return None.

    A factor near 10 is named, since it is nearly always a unit mistaken (cm for mm).
    """
    ratio = max(first.mpp, second.mpp) / min(first.mpp, second.mpp)
    if ratio <= 1.05:
        return None
    hint = " (a factor near 10: a unit was probably mistaken)" if 9 <= ratio <= 11 else ""
    return f"resolutions disagree by a factor {ratio:.3g}{hint}: {first} against {second}"
