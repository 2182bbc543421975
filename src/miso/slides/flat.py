"""Slides without a pyramid: TIFF strips, JPEG and PNG, read through libvips with bounded memory."""

import threading
from pathlib import Path

import numpy as np
import pyvips

from miso.errors import SlideError
from miso.slides.slide import RGB, Level, Slide
from miso.units import Resolution, is_plausible_mpp


class FlatSlide(Slide):
    """A single-level image; libvips decodes it once, beyond 100 MB to a temporary file.

    The resolution tags of a TIFF are believed when a microscope could have written them; those of a JPEG or
    PNG are print sizes and never are.
    """

    def __init__(self, path: Path, resolution: Resolution | None = None) -> None:
        image = _load(path)
        super().__init__(
            path,
            (Level(size_px=(image.width, image.height), downsample=1.0),),
            resolution or _tagged_resolution(path, image),
        )
        self._image = image
        self._per_thread = threading.local()

    def _read_region(self, index: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        if not hasattr(self._per_thread, "region"):
            self._per_thread.region = pyvips.Region.new(self._image)
        try:
            pixels = self._per_thread.region.fetch(*origin, *size)
        except pyvips.Error as err:
            raise SlideError(f"{self.path.name!r} is truncated or damaged: {_one_line(err)}") from err
        return np.frombuffer(pixels, dtype=np.uint8).reshape(size[1], size[0], 3)

    def _shrink(self, index: int, size_px: tuple[int, int]) -> RGB:
        try:
            small = self._image.thumbnail_image(size_px[0], height=size_px[1], size="force", no_rotate=True)
            return np.asarray(small.numpy(), dtype=np.uint8)
        except pyvips.Error as err:
            raise SlideError(f"{self.path.name!r} is truncated or damaged: {_one_line(err)}") from err

    def close(self) -> None:
        """Release the decoded pixels."""
        self._per_thread = threading.local()
        del self._image


def _load(path: Path) -> pyvips.Image:
    try:
        # revalidate: libvips would give back the pixels that a file of this name had before
        image = pyvips.Image.new_from_file(str(path), access="random", fail_on="truncated", revalidate=True)
        if image.format != "uchar":
            raise SlideError(f"{path.name!r} holds {image.format} samples; MISO reads 8-bit colour images")
        if image.hasalpha():
            image = image.flatten(background=[255, 255, 255])
        image = image.colourspace("srgb")
    except pyvips.Error as err:
        raise SlideError(f"cannot read {path.name!r} as an image: {_one_line(err)}") from err
    return image


def _tagged_resolution(path: Path, image: pyvips.Image) -> Resolution | None:
    if path.suffix.lower() not in {".tif", ".tiff"} or image.xres <= 0 or image.yres <= 0:
        return None
    mpp = 1000 / ((image.xres + image.yres) / 2)  # libvips counts pixels per mm
    printer = mpp > 5  # 5 µm/px is about 5,000 dpi: coarser tags are print sizes (72, 96, 300 dpi)
    return Resolution(mpp=mpp, source="TIFF tags") if is_plausible_mpp(mpp) and not printer else None


def _one_line(err: pyvips.Error) -> str:
    return " ".join((err.detail or str(err)).split())
