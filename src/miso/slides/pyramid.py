"""Slides that openslide reads: SVS, NDPI, MRXS, DICOM, tiled pyramidal TIFF and the rest of its list."""

from pathlib import Path

import numpy as np
import openslide

from miso.errors import SlideError
from miso.slides.record import recorded_resolution
from miso.slides.slide import RGB, WHITE, Level, Slide
from miso.slides.tags import believed
from miso.units import Resolution


class PyramidSlide(Slide):
    """An image opened by openslide; what is transparent is seen over white."""

    def __init__(self, path: Path, handle: openslide.OpenSlide, resolution: Resolution | None) -> None:
        self._handle = handle
        self.vendor = _property(handle, openslide.PROPERTY_NAME_VENDOR)
        levels = tuple(
            Level(size_px=size, downsample=float(downsample))
            for size, downsample in zip(handle.level_dimensions, handle.level_downsamples, strict=True)
        )
        super().__init__(path, levels, resolution or _tagged_resolution(handle))

    def read_level(self, origin_xy: tuple[int, int], size_px: tuple[int, int], level: int) -> RGB:
        """Copy a level's own pixels as openslide gives them, white off the slide; see `Slide.read_level`."""
        return self._at(origin_xy, self._checked(level), size_px)

    def _read_region(self, index: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        downsample = self.levels[index].downsample
        return self._at((round(origin[0] * downsample), round(origin[1] * downsample)), index, size)

    def _at(self, corner: tuple[int, int], index: int, size: tuple[int, int]) -> RGB:
        try:
            region = self._handle.read_region(corner, index, size)
        except openslide.OpenSlideError as err:
            raise SlideError(f"{self.path.name!r} is damaged at {corner}, level {index}: {err}") from err
        pixels = np.asarray(region)
        if (pixels[..., 3] == WHITE).all():
            return np.ascontiguousarray(pixels[..., :3])
        return over_white(pixels)

    def close(self) -> None:
        """Release the file."""
        self._handle.close()


def over_white(rgba: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]) -> RGB:
    """Lay a picture with transparency (straight alpha) on white."""
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed: RGB = ((rgba[..., :3] * alpha + WHITE * (WHITE - alpha) + WHITE // 2) // WHITE).astype(np.uint8)
    return mixed


def _tagged_resolution(handle: openslide.OpenSlide) -> Resolution | None:
    plain_tiff = _property(handle, openslide.PROPERTY_NAME_VENDOR) == "generic-tiff"
    try:
        mpp_x = float(_property(handle, openslide.PROPERTY_NAME_MPP_X))
        mpp_y = float(_property(handle, openslide.PROPERTY_NAME_MPP_Y))
    except ValueError:
        return None
    recorded = recorded_resolution(_property(handle, "tiff.ImageDescription"), mpp_x) if plain_tiff else None
    return recorded or believed(mpp_x, mpp_y, "slide tags", print_sizes=plain_tiff)


def _property(handle: openslide.OpenSlide, name: str) -> str:
    """Return a property, empty where it is absent or no text."""
    try:
        return str(handle.properties[name])
    except (KeyError, UnicodeDecodeError):
        return ""
