"""Opening a slide of any kind: a pyramid through openslide, everything else through libvips."""

from pathlib import Path

import openslide

from miso.errors import SlideError
from miso.slides.array import is_stored_image
from miso.slides.dicom import slide_in
from miso.slides.flat import FlatSlide
from miso.slides.pyramid import PyramidSlide
from miso.slides.slide import Slide
from miso.slides.sound import check_kind, check_size, check_whole, main_page
from miso.slides.tiff import Page, read_pages
from miso.units import Resolution, is_plausible_mpp

PLAIN_TIFF, APERIO = "generic-tiff", "aperio"
UPRIGHT, UNSTATED = 1, 0
"""TIFF orientation of rows from the top and columns from the left; extra samples of no stated meaning."""


def open_slide(path: Path | str, resolution: Resolution | float | None = None) -> Slide:
    """Open an image.

    Parameters
    ----------
    path
        Anything that openslide reads, a folder with one DICOM slide, a flat TIFF, JPEG or PNG, or an image in
        a Zarr store (`store.zarr/images/name`).
    resolution
        µm per level-0 pixel where it is known better than the file does; a bare number is the user's word.

    Raises
    ------
    SlideError
        If there is no such file, it is no image that can be read truly, or the resolution is impossible.
    """
    path = Path(path)
    if not (stored := is_stored_image(path)):
        path = slide_in(path)
    if isinstance(resolution, int | float):
        resolution = Resolution(mpp=float(resolution), source="--mpp")
    if resolution is not None and not is_plausible_mpp(resolution.mpp):
        raise SlideError(f"{resolution} is no microscope resolution; 0.25 µm/px is a 40× scan")
    if stored:
        from miso.slides.stored import open_stored_image  # zarr takes long to import

        return open_stored_image(path, resolution)
    handle = _through_openslide(path)
    if handle is None:
        return FlatSlide(path, resolution)
    return PyramidSlide(path, handle, resolution)


def _through_openslide(path: Path) -> openslide.OpenSlide | None:
    """Open a slide with openslide, or return None where libvips is the one to read it truly."""
    try:
        vendor = openslide.OpenSlide.detect_format(str(path))
        page = _checked_page(path) if vendor in {PLAIN_TIFF, APERIO} else None
        if vendor is None or (page is not None and vendor == PLAIN_TIFF and not _shown_by_openslide(page)):
            return None
        handle = openslide.OpenSlide(str(path))
    except openslide.OpenSlideUnsupportedFormatError:
        return None
    except (openslide.OpenSlideError, UnicodeDecodeError) as err:
        raise SlideError(f"{path.name!r} is damaged or of a kind not read: {err}") from err
    try:
        check_size(handle.dimensions, path)
    except SlideError:
        handle.close()
        raise
    if page is not None and handle.dimensions != page.size_px:  # its first picture is not its largest
        handle.close()
        return None
    return handle


def _checked_page(path: Path) -> Page:
    pages = read_pages(path)
    main = pages[main_page(pages, path.name)]
    check_kind(main, path.name)
    for page in (main, *(page for page in pages if page.tiled)):
        check_whole(page, path)
    return main


def _shown_by_openslide(page: Page) -> bool:
    """Whether openslide shows a plain TIFF as it is: it turns tiles singly, and guesses at unstated alpha."""
    return page.tiled and page.orientation == UPRIGHT and UNSTATED not in page.extra_samples
