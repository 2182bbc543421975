"""Whether an image can be read truly: 8-bit colour or grey, all of it there, of a possible size in pixels."""

import os
from pathlib import Path

import numpy as np

from miso.errors import SlideError
from miso.slides.tiff import Page

COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 6: 3}
"""Samples of colour for each photometric interpretation that is read: greys, RGB, palette, YCbCr."""
PALETTE, YCBCR = 3, 6
OTHER_COLOURS = {
    -1: "colours of no stated kind",
    4: "a mask",
    5: "CMYK colours",
    8: "CIELAB colours",
    9: "ICCLAB colours",
    32803: "raw camera data",
}
UNSIGNED = {1, 4}
"""Sample formats: unsigned, and "undefined", which is read as unsigned."""
UNCOMPRESSED, OLD_JPEG = 1, 6
PX_PER_BYTE, SURELY_POSSIBLE_PX = 4096, 10**8
"""No codec packs a picture with tissue so tightly; up to so many pixels it is not asked."""
MOST_TILE_PX = 2**26
"""Pixels of a tile: 8,192 on a side; scanners write 240 to 4,096."""
ADVICE = "MISO reads 8-bit colour or grey images; export it as 8-bit RGB"


def main_page(pages: list[Page], name: str) -> int:
    """Index of the largest picture of a TIFF, the first of equals.

    Raises
    ------
    SlideError
        If several grey pictures share that size: they are channels or focal planes, and none is the slide.
    """
    areas = [page.size_px[0] * page.size_px[1] for page in pages]
    index = int(np.argmax(areas))
    main = pages[index]
    alike = [page for page in pages if page.size_px == main.size_px and COLOURS.get(page.photometric) == 1]
    if main in alike and len(alike) > 1:
        raise SlideError(
            f"{name!r} holds {len(alike)} grey pictures of {main.size_px[0]} × {main.size_px[1]} px, which "
            f"are channels or focal planes; {ADVICE}"
        )
    return index


def check_kind(page: Page, name: str) -> None:
    """Refuse what decoders would turn into some 8-bit picture without a word.

    Raises
    ------
    SlideError
        For 16-bit, floating-point or signed samples, other colours than RGB and grey, and further bands.
    """
    greyish = COLOURS.get(page.photometric) == 1
    if page.sample_format not in UNSIGNED:
        raise SlideError(f"{name!r} holds {_format(page)} samples; {ADVICE}")
    if set(page.bits) != {8} and not (greyish and set(page.bits) <= {1, 2, 4}):
        raise SlideError(f"{name!r} holds {max(page.bits)}-bit samples; {ADVICE}")
    if page.photometric not in COLOURS:
        other = OTHER_COLOURS.get(page.photometric, f"colours of kind {page.photometric}")
        raise SlideError(f"{name!r} holds {other}; {ADVICE}")
    if page.samples - COLOURS[page.photometric] not in ({0} if page.photometric == PALETTE else {0, 1}):
        raise SlideError(f"{name!r} holds {page.samples} bands; {ADVICE}")


def check_whole(page: Page, path: Path) -> None:
    """Refuse a picture whose tiles or strips are not all in the file; absent tiles (no bytes) are white.

    Raises
    ------
    SlideError
        If the file ends too early, a strip is absent, or an uncompressed one is too short.
    """
    if page.tiled and page.chunk_px[0] * page.chunk_px[1] > MOST_TILE_PX:
        raise SlideError(
            f"{path.name!r} has tiles of {page.chunk_px[0]} × {page.chunk_px[1]} px, each decoded whole; "
            "write it again with tiles of 256 px"
        )
    size = path.stat().st_size
    outside = (page.byte_counts > size) | (page.offsets > size - np.minimum(page.byte_counts, size))
    if outside.any() and page.compression != OLD_JPEG:
        raise SlideError(
            f"{path.name!r} is truncated or damaged: {outside.sum()} of its {len(outside)} "
            f"{_chunks(page)} lie beyond its end at byte {size}"
        )
    short = page.byte_counts < _least_bytes(page)
    if short.any():
        raise SlideError(
            f"{path.name!r} is damaged: {short.sum()} of its {len(short)} {_chunks(page)} are too short"
        )


def check_size(size_px: tuple[int, int], path: Path) -> None:
    """Refuse a header that claims far more pixels than its file can hold.

    Raises
    ------
    SlideError
        Beyond `SURELY_POSSIBLE_PX`, if there are more than `PX_PER_BYTE` pixels a byte.
    """
    width, height = size_px
    if width * height > SURELY_POSSIBLE_PX and width * height > PX_PER_BYTE * _bytes(path):
        raise SlideError(
            f"{path.name!r} is damaged: it claims {width} × {height} px in {_bytes(path) / 1e6:.3g} MB"
        )


def is_sparse(page: Page) -> bool:
    """Whether some tiles are not there."""
    return bool((page.byte_counts == 0).any())


def _least_bytes(page: Page) -> np.uint64 | np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Bytes that a tile or strip has at the least: all its pixels where nothing is compressed."""
    if page.tiled and page.compression != UNCOMPRESSED:
        return np.uint64(0)
    if page.compression != UNCOMPRESSED or page.photometric == YCBCR:
        return np.uint64(1)
    samples = 1 if page.planar else page.samples
    row = -(-page.chunk_px[0] * samples * max(page.bits) // 8)
    rows = np.full(len(page.byte_counts), page.chunk_px[1], dtype=np.uint64)
    if page.tiled:
        return np.where(page.byte_counts > 0, rows * np.uint64(row), np.uint64(0))
    per_plane = -(-page.size_px[1] // page.chunk_px[1])
    rows[per_plane - 1 :: per_plane] = page.size_px[1] - (per_plane - 1) * page.chunk_px[1]
    return rows * np.uint64(row)


def _format(page: Page) -> str:
    return {2: "signed", 3: f"{max(page.bits)}-bit floating-point"}.get(page.sample_format, "complex")


def _chunks(page: Page) -> str:
    return "tiles" if page.tiled else "strips"


def _bytes(path: Path) -> int:
    """Size of a slide: its file's, with all beside it where a slide is many files (MRXS, DICOM, VMS)."""
    if path.suffix.lower() in {".mrxs", ".dcm", ".vms", ".vmu"}:
        folders = [path.parent, path.with_suffix("")]
        return sum(
            entry.stat().st_size for folder in folders if folder.is_dir() for entry in os.scandir(folder)
        )
    return path.stat().st_size
