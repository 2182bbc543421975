"""Slides that openslide reads: SVS, NDPI, MRXS, DICOM, tiled pyramidal TIFF and the rest of its list."""

from pathlib import Path

import numpy as np
import openslide

from miso.errors import SlideError
from miso.slides.slide import RGB, Level, Slide
from miso.units import Resolution, is_plausible_mpp


class PyramidSlide(Slide):
    """An image opened by openslide; transparent pixels read as white."""

    def __init__(self, path: Path, handle: openslide.OpenSlide, resolution: Resolution | None) -> None:
        self._handle = handle
        levels = tuple(
            Level(size_px=size, downsample=float(downsample))
            for size, downsample in zip(handle.level_dimensions, handle.level_downsamples, strict=True)
        )
        super().__init__(path, levels, resolution or _tagged_resolution(handle))

    def _read_region(self, index: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        downsample = self.levels[index].downsample
        corner = round(origin[0] * downsample), round(origin[1] * downsample)
        try:
            region = self._handle.read_region(corner, index, size)
        except openslide.OpenSlideError as err:
            raise SlideError(f"{self.path.name!r} is damaged at {origin}, level {index}: {err}") from err
        pixels = np.asarray(region)
        opaque = pixels[..., 3:] == 255
        if opaque.all():
            return np.ascontiguousarray(pixels[..., :3])
        return np.where(pixels[..., 3:] > 0, pixels[..., :3], np.uint8(255))

    def close(self) -> None:
        """Release the file."""
        self._handle.close()


def _tagged_resolution(handle: openslide.OpenSlide) -> Resolution | None:
    try:
        mpp_x = float(handle.properties[openslide.PROPERTY_NAME_MPP_X])
        mpp_y = float(handle.properties[openslide.PROPERTY_NAME_MPP_Y])
    except (KeyError, ValueError):
        return None
    mpp = (mpp_x + mpp_y) / 2
    return Resolution(mpp=mpp, source="slide tags") if is_plausible_mpp(mpp) else None
