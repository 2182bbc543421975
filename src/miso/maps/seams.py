"""How the windows that an encoder is shown meet on a map; sizes are in tile pixels.

An encoder knows least at the border of what it is shown, so maps of tiles side by side show the tiles.
Windows may be laid over the slide several times, shifted, and fade into each other; or they may be wider than
the tiles of training, so that less of them is border. `benchmarks/seams.py` measures what each costs.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.encoders.encoder import Encoder
from miso.errors import MapError
from miso.geometry import PatchGrid, TileGrid, TileSpec
from miso.slides.slide import Slide

Seams = Literal["shifted", "overlap", "wide", "none"]
Shifts = tuple[tuple[int, int], ...]
PASSES = {1: 1, 2: 2, 4: 2, 16: 4}
"""By number of passes over a slide: how many places along each axis their tiles start from."""
DEFAULT_PASSES = 2
SHIFTED_POWER = 0.6
"""Of shifted tiles: the lower, the more of what lies below a patch is told apart, and of the seams seen."""
WIDE, SHARED = 2, 1 / 10
"""A wide window is this many tiles wide, and shares this much of itself with each neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """What the encoder is shown, how far apart such windows lie, and by how much each pass is shifted.

    A window's weights fade to its border over `fade_px`, as the sine to the power of `fade_power`.
    """

    spec: TileSpec
    stride_px: int
    shifts_px: Shifts = ((0, 0),)
    fade_px: int = 0
    fade_power: float = 2.0

    def grid(self, slide: Slide, patch_px: int) -> TileGrid:
        """Lay them over a slide."""
        return TileGrid(
            patches=PatchGrid(tile=self.spec, patch_px=patch_px),
            stride_px=self.stride_px,
            slide_size_px=slide.size_px,
            slide_mpp=slide.mpp,
            shifts_px=self.shifts_px,
        )

    def described(self, patch_px: int) -> dict[str, Any]:
        """Say in plain JSON how they lie; sizes in tile pixels."""
        return {
            "patch_px": patch_px,
            "window_px": self.spec.size_px,
            "stride_px": self.stride_px,
            "passes": len(self.shifts_px),
            "fade": [self.fade_px, self.fade_power],
        }


def lay_windows(
    encoder: Encoder,
    tile: TileSpec,
    seams: Seams | None = None,
    stride_px: int | None = None,
    passes: int | None = None,
) -> Windows:
    """Choose the windows.

    Parameters
    ----------
    tile
        What the encoder was shown in training.
    seams
        "shifted" (the default): tiles side by side, laid over the slide in several passes that are shifted by
        parts of a tile and by half a patch; "overlap": tiles every `stride_px`, by default half a tile;
        "wide": windows of two tiles a side, each pass shifted by half a patch; "none": tiles side by side.
    stride_px
        Asks for "overlap": any divisor of the tile.
    passes
        1, 2, 4 or 16 times over the slide, by default DEFAULT_PASSES; what it costs is as many times that of
        tiles side by side.

    Raises
    ------
    MapError
        If the encoder takes no such windows, or the stride or the patch is no divisor of the tile.
    """
    if tile.size_px % encoder.patch_px:
        raise MapError(f"patches of {encoder.patch_px} px do not divide a tile of {tile.size_px} px")
    seams = seams or ("shifted" if stride_px is None else "overlap")
    if seams not in get_args(Seams):
        raise MapError(f"seams {seams!r}: choose one of {', '.join(get_args(Seams))}")
    if stride_px is not None and seams != "overlap":
        raise MapError(f"a stride is for overlapping tiles, and seams {seams!r} sets its own; leave one out")
    if passes is not None and seams not in ("shifted", "wide"):
        raise MapError(f"passes are for seams shifted or wide, not {seams!r}; leave one out")
    if (passes := passes or DEFAULT_PASSES) not in PASSES:
        raise MapError(f"{passes} passes: choose one of {', '.join(map(str, PASSES))}")
    if seams == "wide":
        return _wide(encoder, tile, passes)
    if seams == "shifted":
        shifts = _shifts(tile.size_px, encoder.patch_px, passes)
        return Windows(
            spec=tile,
            stride_px=tile.size_px,
            shifts_px=shifts,
            fade_px=tile.size_px // 2,
            fade_power=SHIFTED_POWER,
        )
    stride = tile.size_px if seams == "none" else _divisor(tile, stride_px)
    return Windows(spec=tile, stride_px=stride, fade_px=min(tile.size_px - stride, tile.size_px // 2))


def blending(side: int, fade: float, power: float = 2.0) -> Float[NDArray[np.float32], "row col"]:
    """Weights of the cells of a window of `side` × `side`, which fade to its border over `fade` cells.

    An encoder knows least at the border, and a plain mean steps there. With a power of 2 the weights of
    windows that share `fade` cells with each neighbour sum to the same over every cell, and so they do for
    windows every half, third, quarter … of a side that fade from the middle on.
    """
    from_border = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5)
    along = np.sin(np.pi / 2 * np.minimum(from_border / max(fade, 0.5), 1)) ** power
    return np.outer(along, along).astype(np.float32)


def _shifts(size_px: int, patch_px: int, passes: int) -> Shifts:
    """Spread the passes over a tile, every other place half a patch further."""
    side, half, along = size_px // patch_px, patch_px // 2 * (patch_px % 2 == 0), PASSES[passes]
    places = [index * side // along * patch_px + index % 2 * half for index in range(along)]
    if passes == 2:
        return tuple((place, place) for place in places)
    return tuple((up, left) for up, left in product(places, places))


def _wide(encoder: Encoder, tile: TileSpec, passes: int) -> Windows:
    if not encoder.takes_any_size:
        raise MapError(
            f"the encoder {encoder.name!r} takes its own size only; use overlapping tiles (overlap)"
        )
    side = WIDE * tile.size_px
    shared = round(SHARED * side / encoder.patch_px) * encoder.patch_px
    within_a_patch = _shifts(encoder.patch_px, encoder.patch_px, min(passes, 4))
    spec = TileSpec(size_px=side, mpp=tile.mpp)
    return Windows(spec=spec, stride_px=side - shared, shifts_px=within_a_patch, fade_px=shared)


def _divisor(tile: TileSpec, stride_px: int | None) -> int:
    size = tile.size_px
    stride = stride_px if stride_px is not None else size // 2 if size % 2 == 0 else size
    if stride <= 0 or size % stride:
        good = [str(each) for each in range(max(size // 16, 1), size + 1) if size % each == 0]
        raise MapError(
            f"stride {stride} px: choose a divisor of the tile's {size} px, such as {', '.join(good)}"
        )
    return stride
