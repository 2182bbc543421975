"""Rewriting a slide as a tiled pyramid: a BigTIFF of levels by halves, with its resolution in px per cm."""

import errno
import os
import tempfile
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pyvips

from miso.errors import SlideError
from miso.slides.flat import FlatSlide, load_flat, one_line
from miso.slides.pyramid import PyramidSlide
from miso.slides.slide import Slide
from miso.slides.sound import is_sparse, main_page
from miso.slides.stream import SlideStream
from miso.slides.tiff import read_pages

Track = Callable[[Iterable[int], int, str], Iterable[int]]
"""Passes an iterable through while showing how far it is, given its length and a description."""
DEFAULT_QUALITY, DEFAULT_TILE_PX = 94, 256
"""At 94 the most detailed tissue tried keeps 44 dB, at 90 it has 41.4; the time is the same."""
MOST_THREADS = 4
"""Each adds some MB, and more than four hardly add speed."""
WAITING_IN_MEMORY = "4m"
"""libvips holds levels of up to 100 MB in memory until the end, unless it is told otherwise in time."""
LEAST_LEVELS = 4
PLAIN_VENDORS, CODECS = {"generic-tiff", "aperio"}, {1, 5, 7, 8, 32946}
"""What libvips reads pixel by pixel as openslide does: none, LZW, JPEG and deflate in a TIFF."""
UPRIGHT, STRIPPED = 1, ("exif-data", "xmp-data", "iptc-data", "photoshop-data")
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


def write_pyramid(
    slide: Slide,
    out: Path,
    *,
    quality: int = DEFAULT_QUALITY,
    lossless: bool = False,
    tile_px: int = DEFAULT_TILE_PX,
    description: str = "",
    track: Track = lambda steps, total, description: steps,
) -> None:
    """Write a slide as a BigTIFF that openslide opens, with four levels if its shorter side has 8 px.

    Levels go on until one tile holds the whole slide, and where that would be too few until a side has 1 px.
    Pixels stream from top to bottom: memory grows with the width of the slide and not with its height, but
    for what decoders cannot do in pieces (progressive JPEG, interlaced PNG, TIFF of one compressed strip).
    The smaller levels wait in the folder for temporary files, a third of the output.

    Parameters
    ----------
    slide
        Its resolution goes into the tags; its pixels are those of level 0, as stored.
    quality
        Of JPEG, 1 to 100; below 90 colours are stored at half the resolution (libvips' rule).
    lossless
        Deflate instead of JPEG: 2 to 3 times the size.
    description
        The TIFF's description, plain ASCII.
    track
        Shows the progress in hundredths.

    Raises
    ------
    SlideError
        If the source turns out to be damaged.
    OSError
        If the disk is full.
    """
    os.environ.setdefault("VIPS_DISC_THRESHOLD", WAITING_IN_MEMORY)  # read once, when first needed
    out.open("wb").close()  # where this may not be, the system says it best
    stream = None if _is_for_libvips(slide) else SlideStream(slide)
    settings = _settings(slide, quality, lossless, tile_px)
    try:
        source = stream.image() if stream else load_flat(slide.path, access="sequential")
        image = _dressed(source, description)
        with closing(_in_steps(image, lambda: image.tiffsave(str(out), **settings))) as steps:
            for _ in track(steps, 100, f"writing {slide.path.stem}, %"):
                pass
    except pyvips.Error as err:
        _raise_if_full(one_line(err), out)
        raise (stream and stream.error) or SlideError(
            f"{slide.path.name!r} is truncated or damaged: {one_line(err)}"
        ) from err


def _settings(slide: Slide, quality: int, lossless: bool, tile_px: int) -> dict[str, Any]:
    codec = (
        {"compression": "deflate", "predictor": "horizontal", "level": 2}
        if lossless
        else {"compression": "jpeg", "Q": quality}
    )
    enough_levels = max(slide.size_px) > tile_px * 2 ** (LEAST_LEVELS - 2)
    return {
        **codec,
        "tile": True,
        "tile_width": tile_px,
        "tile_height": tile_px,
        "pyramid": True,
        "depth": "onetile" if enough_levels else "onepixel",
        "bigtiff": True,
        "xres": 1000 / slide.mpp,  # px per mm; the file counts them per cm
        "yres": 1000 / slide.mpp,
        "resunit": "cm",
    }


def _raise_if_full(message: str, out: Path) -> None:
    for code in FULL_DISK:
        if os.strerror(code) in message:
            where = f"{out}, or {tempfile.gettempdir()}, where the smaller levels wait"
            raise OSError(code, os.strerror(code), where)


def _is_for_libvips(slide: Slide) -> bool:
    """Whether libvips reads the same pixels as the slide does, and faster than openslide."""
    if isinstance(slide, FlatSlide):
        return True
    if not isinstance(slide, PyramidSlide) or slide.vendor not in PLAIN_VENDORS:
        return False
    pages = read_pages(slide.path)
    page = pages[main_page(pages, slide.path.name)]
    plain = page.compression in CODECS and not page.planar and not page.extra_samples
    return plain and page.orientation == UPRIGHT and not is_sparse(page)


def _dressed(image: pyvips.Image, description: str) -> pyvips.Image:
    """Replace what the source says of itself, an orientation above all, by our own description."""
    image = image.copy()
    for name in STRIPPED:
        image.remove(name)
    image.set_type(pyvips.GValue.gint_type, "orientation", UPRIGHT)
    image.set_type(pyvips.GValue.gstr_type, "image-description", description)
    image.set_type(pyvips.GValue.gint_type, "concurrency", MOST_THREADS)
    return image


def _in_steps(image: pyvips.Image, save: Callable[[], object]) -> Generator[int]:
    """Save in a thread, and yield each hundredth as it is done; closing the generator stops the saving."""
    steps: SimpleQueue[int | None] = SimpleQueue()
    image.set_progress(True)
    image.signal_connect("eval", lambda _, progress: steps.put(progress.percent))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # a thread interrupted while it starts is not waited for: start it idle
        done = 0
        try:
            job = pool.submit(save)
            job.add_done_callback(lambda _: steps.put(None))
            while (percent := steps.get()) is not None:
                yield from range(done, percent)
                done = max(done, percent)
        finally:
            image.set_kill(True)
    job.result()
    yield from range(done, 100)
