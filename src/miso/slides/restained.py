"""A slide whose tiles come out in another stain; sizes, thumbnail and resolution are the slide's own."""

from collections.abc import Callable

from miso.slides.slide import RGB, Slide

Recolour = Callable[[RGB], RGB]
"""From 8-bit pixels to 8-bit pixels of the same shape; white stays white."""


class RestainedSlide(Slide):
    """Passes everything that is read through `recolour`; masks and thumbnails see the slide as it is."""

    def __init__(self, slide: Slide, recolour: Recolour) -> None:
        super().__init__(slide.path, slide.levels, slide.resolution if slide.has_resolution else None)
        self._slide, self._recolour = slide, recolour

    def read(self, origin_xy: tuple[float, float], size_px: tuple[int, int], mpp: float) -> RGB:
        """Read a region in the new stain; see `Slide.read`."""
        return self._recolour(super().read(origin_xy, size_px, mpp))

    def read_level(self, origin_xy: tuple[int, int], size_px: tuple[int, int], level: int) -> RGB:
        """Copy a level's pixels in the new stain; see `Slide.read_level`."""
        return self._recolour(self._slide.read_level(origin_xy, size_px, level))

    def _read_region(self, index: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        return self._slide._read_region(index, origin, size)

    def _shrink(self, index: int, size_px: tuple[int, int]) -> RGB:
        return self._slide._shrink(index, size_px)

    def close(self) -> None:
        """Release the file."""
        self._slide.close()
