"""Opening a slide of any kind: a pyramid through openslide, everything else through libvips."""

from pathlib import Path

import openslide

from miso.errors import SlideError
from miso.slides.flat import FlatSlide
from miso.slides.pyramid import PyramidSlide
from miso.slides.slide import Slide
from miso.units import Resolution, is_plausible_mpp


def open_slide(path: Path | str, resolution: Resolution | float | None = None) -> Slide:
    """Open an image.

    Parameters
    ----------
    path
        Anything that openslide reads, or a flat TIFF, JPEG or PNG.
    resolution
        µm per level-0 pixel where it is known better than the file does; a bare number is the user's word.

    Raises
    ------
    SlideError
        If there is no such file, it is no image, or the resolution is impossible.
    """
    path = Path(path)
    if not path.is_file():
        raise SlideError(f"no image at {path}" + (" (that is a folder)" if path.is_dir() else ""))
    if isinstance(resolution, int | float):
        resolution = Resolution(mpp=float(resolution), source="--mpp")
    if resolution is not None and not is_plausible_mpp(resolution.mpp):
        raise SlideError(f"{resolution} is no microscope resolution; 0.25 µm/px is a 40× scan")
    try:
        return PyramidSlide(path, openslide.OpenSlide(str(path)), resolution)
    except openslide.OpenSlideUnsupportedFormatError:
        return FlatSlide(path, resolution)
    except openslide.OpenSlideError as err:
        raise SlideError(f"{path.name!r} is damaged: {err}") from err
