"""Spots as a small drawing: discs or squares of their true size in colours, without the slide."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from miso.geometry import Points
from miso.reports.picture import Picture, png, with_scale_bar

LONGEST_PX, FINER = 520, 2
"""Longer side of a drawing in px, and how many times finer it is drawn before it is shrunk."""
RIM = (120, 120, 120)
REASON_COLORS = {
    "tissue": "#a9c9b4",
    "background": "#e69f00",
    "pen": "#0072b2",
    "fold": "#d55e00",
    "blur": "#cc79a7",
    "off slide": "#000000",
}
"""Told apart with any kind of colour vision (after Okabe and Ito)."""

Colors = UInt8[NDArray[np.uint8], "spot 3"]


def draw_spots(
    center_xy: Points,
    diameter_px: float,
    colors: Colors,
    *,
    mpp: float,
    square: bool = False,
    longest_px: int = LONGEST_PX,
) -> Picture:
    """Draw spots on white; positions and diameter are level-0 pixels, `mpp` µm per pixel."""
    low = center_xy.min(axis=0) - diameter_px
    size = center_xy.max(axis=0) + diameter_px - low
    step = FINER * longest_px / size.max()
    canvas = Image.new("RGB", tuple(np.ceil(size * step).astype(int).tolist()), "white")
    draw, half = ImageDraw.Draw(canvas), diameter_px * step / 2
    rim = RIM if half > 8 else None
    shape = draw.rectangle if square else draw.ellipse
    for (x, y), color in zip(((center_xy - low) * step).tolist(), colors.tolist(), strict=True):
        shape((x - half, y - half, x + half, y + half), fill=tuple(color), outline=rim)
    width, height = (max(side // FINER, 1) for side in canvas.size)
    small = canvas.resize((width, height), Image.Resampling.LANCZOS)
    return png(with_scale_bar(small, mpp * FINER / step))


def colors_of_reasons(reasons: Sequence[str]) -> Colors:
    """Return the colour of each spot's reason."""
    known = {reason: _rgb(color) for reason, color in REASON_COLORS.items()}
    return np.array([known.get(reason, RIM) for reason in reasons], dtype=np.uint8).reshape(-1, 3)


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
