"""Slides without a pyramid: flat TIFF, JPEG and PNG, read through libvips with bounded memory."""

import shutil
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import pyvips

from miso.errors import SlideError
from miso.slides.slide import RGB, Level, Slide
from miso.slides.sound import ADVICE, check_kind, check_size, check_whole, is_sparse, main_page
from miso.slides.tags import believed
from miso.slides.tiff import is_tiff, read_pages
from miso.units import Resolution

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
IN_MEMORY = 100 * 10**6
"""Bytes of pixels beyond which an image is decoded to a temporary file."""
SAMPLES = {
    "ushort": "16-bit",
    "short": "16-bit",
    "uint": "32-bit",
    "int": "32-bit",
    "float": "floating-point",
}


class FlatSlide(Slide):
    """A single-level image; libvips decodes it once, beyond 100 MB to a temporary file, which is no memory.

    Pixels are those stored: an EXIF or TIFF orientation turns nothing, since spots are placed on the stored
    ones. Transparency is seen over white. Of a TIFF with several pictures the largest is read. The resolution
    tags of a TIFF are believed when a microscope could have written them; those of a JPEG or PNG are print
    sizes and never are.
    """

    def __init__(self, path: Path, resolution: Resolution | None = None) -> None:
        image = load_flat(path, access="random")
        super().__init__(
            path,
            (Level(size_px=(image.width, image.height), downsample=1.0),),
            resolution or _tagged_resolution(path, image),
        )
        self._image: pyvips.Image | None = image
        self._per_thread = threading.local()
        self._lock, self._has_room = threading.Lock(), False
        self._decoded: BinaryIO | None = None

    def _read_region(self, index: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        if _is_decoded_to_disk(self._open()):
            return self._read_decoded(origin, size)
        if not hasattr(self._per_thread, "region"):
            self._per_thread.region = pyvips.Region.new(self._open())
        try:
            pixels = self._per_thread.region.fetch(*origin, *size)
        except pyvips.Error as err:
            raise SlideError(f"{self.path.name!r} is truncated or damaged: {one_line(err)}") from err
        return np.frombuffer(pixels, dtype=np.uint8).reshape(size[1], size[0], 3)

    def _read_decoded(self, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        """Read pixels from the temporary file: libvips would map it, and all that was read would count."""
        (x, y), (width, height) = origin, size
        pixels = np.empty((height, width * 3), dtype=np.uint8)
        with self._lock:
            if self._decoded is None:
                self._decoded = self._decode()
            for row in range(height):
                self._decoded.seek(((y + row) * self.size_px[0] + x) * 3)
                self._decoded.readinto(pixels[row].data)  # type: ignore[attr-defined]  # it is a plain file
        return pixels.reshape(height, width, 3)

    def _decode(self) -> BinaryIO:
        # no buffer: a tile's rows lie far apart
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed with the slide
        try:
            target = pyvips.Target.new_to_descriptor(file.fileno())
            load_flat(self.path, access="sequential").write_to_target(target, ".raw")
        except pyvips.Error as err:
            file.close()
            raise SlideError(f"{self.path.name!r} is truncated or damaged: {one_line(err)}") from err
        return file

    def _shrink(self, index: int, size_px: tuple[int, int]) -> RGB:
        image = self._open()
        try:
            if _is_decoded_to_disk(image):
                image = load_flat(self.path, access="sequential")  # once more: see `_read_decoded`
            small = image.thumbnail_image(size_px[0], height=size_px[1], size="force", no_rotate=True)
            return np.asarray(small.numpy(), dtype=np.uint8)
        except pyvips.Error as err:
            raise SlideError(f"{self.path.name!r} is truncated or damaged: {one_line(err)}") from err

    def _open(self) -> pyvips.Image:
        if self._image is None:
            raise ValueError(f"{self.path.name!r} is closed")
        if not self._has_room:  # asked once: what is decoded takes room itself
            _check_room(self._image, self.path.name)
            self._has_room = True
        return self._image

    def close(self) -> None:
        """Release the decoded pixels."""
        self._per_thread = threading.local()
        self._image = None
        if self._decoded is not None:
            self._decoded.close()
            self._decoded = None


def load_flat(path: Path, access: Literal["random", "sequential"]) -> pyvips.Image:
    """Open a TIFF, JPEG or PNG with libvips as 8-bit RGB over white; nothing is decoded yet.

    Raises
    ------
    SlideError
        If it is none of these, not 8-bit colour or grey, damaged as far as its header tells, or impossibly
        large.
    """
    try:
        image = _decoder(path, access)
        _check_bands(image, path.name)
        check_size((image.width, image.height), path)
        if image.hasalpha():
            image = image.flatten(background=[255, 255, 255])
        return image.colourspace("srgb")
    except pyvips.Error as err:
        raise SlideError(f"cannot read {path.name!r} as an image: {one_line(err)}") from err


def _decoder(path: Path, access: str) -> pyvips.Image:
    # revalidate: libvips would give back the pixels that a file of this name had before
    # fail_on: what libjpeg and libtiff warn of while decoding is damage that they paint over
    options = {"access": access, "revalidate": True, "fail_on": "warning"}
    if is_tiff(path):
        return pyvips.Image.tiffload(str(path), page=_checked_page(path), unlimited=True, **options)
    with path.open("rb") as file:
        start = file.read(len(PNG))
    if start.startswith(JPEG):
        return pyvips.Image.jpegload(str(path), **options)
    if start == PNG:
        return pyvips.Image.pngload(str(path), **options)
    what = "it is empty" if not start else "it is no TIFF, JPEG or PNG, nor a slide that openslide knows"
    raise SlideError(f"cannot read {path.name!r} as an image: {what}")


def _checked_page(path: Path) -> int:
    pages = read_pages(path)
    index = main_page(pages, path.name)
    page = pages[index]
    check_kind(page, path.name)
    check_whole(page, path)
    if is_sparse(page):
        raise SlideError(f"{path.name!r} is damaged: some of its tiles are not there")
    if page.tiled and page.planar:
        raise SlideError(f"{path.name!r} holds tiles of separate colours in a way not read; {ADVICE}")
    return index


def _check_bands(image: pyvips.Image, name: str) -> None:
    if image.format != "uchar":
        raise SlideError(f"{name!r} holds {SAMPLES.get(image.format, image.format)} samples; {ADVICE}")
    if image.interpretation == "cmyk":
        raise SlideError(f"{name!r} holds CMYK colours; {ADVICE}")
    if image.interpretation not in {"srgb", "rgb", "b-w"} or image.bands > 4:
        raise SlideError(f"{name!r} holds {image.bands} bands ({image.interpretation}); {ADVICE}")


def _is_decoded_to_disk(image: pyvips.Image) -> bool:
    """Whether it is large; the tiles of a tiled TIFF are read as they lie."""
    return image.width * image.height * 3 > IN_MEMORY and not image.get_typeof("tile-width")


def _check_room(image: pyvips.Image, name: str) -> None:
    needed, folder = image.width * image.height * 3, tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > free and _is_decoded_to_disk(image):
        raise SlideError(
            f"{name!r} decodes to {needed / 1e9:.3g} GB, and {folder} has {free / 1e9:.3g} GB free; make a "
            "pyramid of it with miso rewrite-slide, which needs no such room, or set TMPDIR"
        )


def _tagged_resolution(path: Path, image: pyvips.Image) -> Resolution | None:
    if not is_tiff(path) or image.xres <= 0 or image.yres <= 0:
        return None
    return believed(1000 / image.xres, 1000 / image.yres, "TIFF tags", print_sizes=True)  # pixels per mm


def one_line(err: pyvips.Error) -> str:
    """Word an error of libvips on one line."""
    return " ".join((err.detail or str(err)).split())
