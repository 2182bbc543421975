"""Pictures inside a page: PNG or JPEG of bounded size as data URIs, colours of values, a scale bar."""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from miso.maps.canvas import COLORS, color_limits, round_length
from miso.maps.colors import lookup

QUALITIES = (82, 70, 55, 40)
"""Of JPEG, from the best; a picture is made smaller when it does not fit at the worst."""
ROOM = 0.9
"""A picture that is made smaller gets this much less than it might, so that it need not be the worst."""
LEAST_PX = 240
"""No picture is made smaller than this to save bytes."""
HOLLOW = (255, 255, 255)
"""The colour of what has no value."""

RGB = UInt8[NDArray[np.uint8], "height width 3"]
Values = Float[NDArray[np.floating], "*n"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture, (width, height) in px, and the data URI that holds it."""

    width: int
    height: int
    uri: str


def jpeg(image: Image.Image, most_bytes: int) -> Picture:
    """Encode a picture in at most `most_bytes`: smaller if it must be, and then as well as fits."""
    image, worst = image.convert("RGB"), QUALITIES[-1]
    while len(content := _encoded(image, worst)) > most_bytes and max(image.size) > LEAST_PX:
        scale = max(ROOM * (most_bytes / len(content)) ** 0.5, LEAST_PX / max(image.size))
        width, height = (max(int(side * scale), 1) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    for quality in QUALITIES[:-1]:
        if len(better := _encoded(image, quality)) <= most_bytes:
            content = better
            break
    return _picture(image, "image/jpeg", content)


def png(image: Image.Image, colors: int = 128) -> Picture:
    """Encode a drawing with few colours."""
    few = image.convert("RGB").quantize(colors, Image.Quantize.MAXCOVERAGE)
    return _picture(image, "image/png", _saved(few, "PNG", optimize=True))


def read_picture(path: Path, longest_px: int, most_bytes: int) -> Picture | None:
    """Read a picture file and shrink it; None where there is none that can be read."""
    try:
        with Image.open(path) as image:
            image.load()
            image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
            return jpeg(image, most_bytes)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


@cache
def ramp(colors: str = COLORS) -> Picture:
    """Draw the colours from low to high, a pixel each."""
    return _picture(image := Image.fromarray(lookup(colors)[None]), "image/png", _saved(image, "PNG"))


def colored(
    values: Values, colors: str = COLORS, limits: tuple[float, float] | None = None
) -> tuple[UInt8[NDArray[np.uint8], "*n 3"], tuple[float, float]]:
    """Turn values into colours between percentiles 1 and 99, as maps are drawn; return these limits too."""
    low, high = limits or color_limits(values)
    with np.errstate(invalid="ignore"):
        index = np.clip((values - low) / (high - low), 0, 1) * 255
    known = np.isfinite(index)
    painted = lookup(colors)[np.where(known, index, 0).astype(np.uint8)]
    painted[~known] = HOLLOW
    return painted, (low, high)


def with_scale_bar(image: Image.Image, um_per_px: float) -> Image.Image:
    """Draw a bar of a round length at the lower right, at most a quarter of the picture."""
    width, height = image.size
    length_um = round_length(width * um_per_px / 4)
    size = max(round(max(image.size) / 36), 15)
    right, bottom, thick = width - size, height - size // 2, max(size // 5, 2)
    left = right - length_um / um_per_px
    draw = ImageDraw.Draw(image)
    draw.rectangle((left - 2, bottom - thick - 2, right + 2, bottom + 2), fill="white")
    draw.rectangle((left, bottom - thick, right, bottom), fill="black")
    text = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
    font = _font(size)
    at = ((left + right) / 2, bottom - thick - 4)
    draw.text(at, text, fill="black", font=font, anchor="mb", stroke_width=2, stroke_fill="white")
    return image


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Open the font that matplotlib brings along: it has a µ."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _encoded(image: Image.Image, quality: int) -> bytes:
    return _saved(image, "JPEG", quality=quality, optimize=True)


def _saved(image: Image.Image, kind: str, **options: int | bool) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _picture(image: Image.Image, mime: str, content: bytes) -> Picture:
    width, height = image.size
    return Picture(width=width, height=height, uri=f"data:{mime};base64,{b64encode(content).decode()}")
