"""Pictures of a section on disk: full resolution, the small ones beside spots, and the CytAssist's view."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pyvips
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from miso.phantom.cohort import Section
from miso.phantom.layouts.layout import Delivery, ImageFormat, Piece

JPEG_QUALITY = 92
SUFFIXES: dict[ImageFormat, str] = {"jpeg": "jpg", "tiff": "tif", "pyramid": "tif"}
CYTASSIST_MPP = 3.0
CYTASSIST_TURN_DEG = 94.0
"""How far the instrument's view is turned against the microscope's picture, counter-clockwise."""

RGB = UInt8[NDArray[np.uint8], "height width 3"]


def full_picture(section: Section, delivery: Delivery, stem: str) -> Piece:
    """Write the full-resolution picture under a name without suffix; TIFFs carry their resolution."""
    suffix = SUFFIXES[delivery.image_format]
    return f"{stem}.{suffix}", lambda path: save_full(
        path, section.image, section.truth.mpp, delivery.image_format
    )


def save_full(path: Path, image: RGB, mpp: float, image_format: ImageFormat) -> None:
    """Write a picture of `mpp` µm per pixel."""
    if image_format == "pyramid":
        pyvips.Image.new_from_array(image).tiffsave(
            str(path), tile=True, tile_width=256, tile_height=256, pyramid=True, bigtiff=True,
            compression="jpeg", Q=JPEG_QUALITY, xres=1000 / mpp, yres=1000 / mpp, resunit="cm",
        )  # fmt: skip
    elif image_format == "tiff":
        Image.fromarray(image).save(path, format="tiff", resolution=1e4 / mpp, resolution_unit="cm")
    else:
        save_jpeg(path, Image.fromarray(image))


def save_jpeg(path: Path, image: Image.Image) -> None:
    """Write a JPEG of the phantom's quality."""
    image.save(path, format="jpeg", quality=JPEG_QUALITY)


def shrunk(section: Section, longest_px: int) -> tuple[Image.Image, float]:
    """Shrink a section's picture to at most this longest side, and say its pixels per level-0 pixel."""
    image = Image.fromarray(section.image)
    scale = min(1.0, longest_px / max(image.size))
    if scale == 1:
        return image, scale
    width, height = (round(side * scale) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX), scale


def png(image: Image.Image) -> bytes:
    """Pack a PNG, fast rather than small."""
    file = BytesIO()
    image.save(file, format="png", compress_level=1)
    return file.getvalue()


def tiff(image: Image.Image) -> bytes:
    """Pack a flat TIFF."""
    file = BytesIO()
    image.save(file, format="tiff")
    return file.getvalue()


def spots_drawn(section: Section, image: Image.Image, scale: float, diameter_um: float) -> Image.Image:
    """Draw a ring about each spot on a small picture, as vendors show what they found."""
    drawn = image.copy()
    draw, radius = ImageDraw.Draw(drawn), diameter_um / section.truth.mpp * scale / 2
    for x, y in section.spots.center_xy * scale:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(30, 80, 220))
    return drawn


def cytassist_view(section: Section) -> Image.Image:
    """Take the instrument's own picture: 3 µm/px, turned, in red, with glass about the tissue."""
    image = Image.fromarray(section.image)
    side = round(image.width * section.truth.mpp / CYTASSIST_MPP)
    red, green, _ = image.resize((side, side), Image.Resampling.BOX).split()
    pink = Image.merge("RGB", (red.point(lambda value: 255 - (255 - value) // 3), green, green))
    return pink.rotate(
        CYTASSIST_TURN_DEG, Image.Resampling.BICUBIC, expand=True, fillcolor=_glass(section.image)
    )


def _glass(image: RGB) -> tuple[int, int, int]:
    red, green, _ = (int(value) for value in np.median(image[:8, :8], axis=(0, 1)))
    return 255 - (255 - red) // 3, green, green
