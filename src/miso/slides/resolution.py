"""Where a slide's µm per level-0 pixel comes from: all sources, the most trusted one, and who disagrees."""

from collections.abc import Sequence

from miso.errors import SlideError
from miso.units import Resolution, disagreement, is_plausible_mpp


def choose_resolution(
    said: float | None,
    folder: Sequence[Resolution],
    tagged: Resolution | None,
    image: str,
    option: str = "--slide-mpp",
    or_else: str = ", for the spots form no lattice that would say it",
) -> tuple[Resolution, list[str]]:
    """Take the most trusted source, and word what others say that differs by more than 5 %.

    Parameters
    ----------
    said
        The user's word, µm per pixel.
    folder
        What the vendor's folder says, the most trusted first: Visium HD's `microns_per_pixel`, then the
        lattice pitch fitted from array positions to pixels.
    tagged
        What the image's own tags say.
    image
        Its name, for messages.
    option, or_else
        How the user says it, and what the refusal ends in, for messages.

    Raises
    ------
    SlideError
        If there is no source, or the user's word cannot be.
    """
    if said is not None and not is_plausible_mpp(said):
        raise SlideError(f"{option} {said:g} is no microscope resolution; 0.25 µm/px is a 40× scan")
    own = [Resolution(mpp=said, source=option)] if said is not None else []
    sources = [*own, *folder, *([tagged] if tagged else [])]
    if not sources:
        raise SlideError(
            f"no resolution in {image!r}; pass {option} (µm per pixel, e.g. 0.25 for a 40× scan){or_else}"
        )
    chosen, *others = sources
    told = (disagreement(chosen, other) for other in others)
    return chosen, [f"{sentence}; the first is used" for sentence in told if sentence]
