"""Pictures of single nuclei: haematoxylin optical density on small squares of pixels of 0.5 µm or finer."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import ndimage

from miso.phantom.cells import KINDS, Nuclei
from miso.phantom.fields import MPP, Field, resize, soft_step

SPRITE_PX = 56
"""Side of a sprite in pixels of 0.5 µm; the longest nucleus fits."""
ANGLES = 20
"""Directions drawn of each variant, over half a turn."""
VARIANTS = 10
"""Different nuclei drawn of each kind."""

Sprites = Float[NDArray[np.float32], "sprite side side"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How nuclei of one kind look.

    Attributes
    ----------
    half_length_um, half_width_um
        Semi-axes.
    spread
        Relative standard deviation of their size.
    wobble
        Relative amplitude of the outline's irregularity.
    density
        Optical density of haematoxylin inside.
    density_spread
        Relative standard deviation of it between nuclei.
    rim, clumps
        Relative excess of density at the membrane, and relative amplitude of the chromatin's grain.
    clump_um
        Size of the grain.
    bend
        Curvature of the long axis, in half-widths at its ends.
    """

    half_length_um: float
    half_width_um: float
    spread: float
    wobble: float
    density: float
    density_spread: float
    rim: float
    clumps: float
    clump_um: float
    bend: float = 0.0


LOOKS = {
    "epithelial": Look(
        half_length_um=5.0, half_width_um=2.8, spread=0.09, wobble=0.04,
        density=1.15, density_spread=0.12, rim=0.25, clumps=0.15, clump_um=0.8,
    ),
    "tumour": Look(
        half_length_um=6.0, half_width_um=4.8, spread=0.18, wobble=0.07,
        density=1.35, density_spread=0.22, rim=0.35, clumps=0.26, clump_um=1.0,
    ),
    "lymphocyte": Look(
        half_length_um=3.3, half_width_um=3.0, spread=0.10, wobble=0.04,
        density=2.10, density_spread=0.12, rim=0.05, clumps=0.16, clump_um=0.9,
    ),
    "fibroblast": Look(
        half_length_um=7.0, half_width_um=1.45, spread=0.22, wobble=0.05,
        density=1.45, density_spread=0.20, rim=0.05, clumps=0.12, clump_um=0.8, bend=0.45,
    ),
}  # fmt: skip


def draw_sprites(rng: np.random.Generator, look: Look, zoom: int = 1) -> Sprites:
    """`VARIANTS` nuclei in each of `ANGLES` directions, variant by variant, on pixels of 0.5 / `zoom` µm."""
    side = SPRITE_PX * zoom
    along = (np.arange(side, dtype=np.float32) - (side - 1) / 2) * (MPP / zoom)
    x, y = np.meshgrid(along, along)
    turn = np.arange(ANGLES, dtype=np.float32)[:, None, None] * np.float32(np.pi / ANGLES)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return np.concatenate([_draw(rng, look, u, v) for _ in range(VARIANTS)]).astype(np.float32)


def _draw(rng: np.random.Generator, look: Look, u: Sprites, v: Sprites) -> Sprites:
    """One nucleus in every direction; `u` and `v` are µm along and across its long axis."""
    size = np.exp(look.spread * np.clip(rng.normal(0, 1, 2), -1.5, 1.5)).astype(np.float32)
    u, v = u / (look.half_length_um * size[0]), v / (look.half_width_um * size[1])
    v = v + np.float32(rng.normal(0, 1) * look.bend) * (u**2 - np.float32(0.4))
    radius = np.hypot(u, v) / _wobble(rng, np.arctan2(v, u), look.wobble)
    inward_um = (1 - radius) * (look.half_width_um * size[1])
    rim = look.rim * np.exp(-(((inward_um - 0.4) / 0.55) ** 2))
    chromatin = np.maximum(1 + rim + look.clumps * _grain(rng, look.clump_um, (u.shape[1], u.shape[2])), 0.2)
    density = look.density * np.exp(rng.normal(0, look.density_spread))
    return np.asarray(density * soft_step(inward_um, 4.5) * chromatin, dtype=np.float32)


def _grain(rng: np.random.Generator, clump_um: float, shape: tuple[int, int]) -> Field:
    """Draw the chromatin's grain, of variance 1: the same draws whatever the size of pixels."""
    white = rng.standard_normal((SPRITE_PX, SPRITE_PX), dtype=np.float32)
    grain: Field = ndimage.gaussian_filter(white, clump_um / MPP)
    grain = grain / grain.std()
    return grain if shape == grain.shape else resize(grain, shape)


def _wobble(rng: np.random.Generator, polar: Sprites, amplitude: float) -> Sprites:
    """Draw an irregular outline about 1, by its second to fifth harmonic."""
    outline = np.ones_like(polar)
    for order in range(2, 6):
        height = rng.normal(0, amplitude) * (2 / order) ** 1.5
        outline += np.float32(height) * np.cos(order * polar + np.float32(rng.uniform(0, 2 * np.pi)))
    return outline


def stamp(rng: np.random.Generator, nuclei: Nuclei, size_px: int, zoom: int = 1) -> Field:
    """Haematoxylin density of all nuclei on (`size_px` · `zoom`)² pixels; the darker one wins an overlap."""
    side = SPRITE_PX * zoom
    canvas = np.zeros((size_px * zoom + 2 * side,) * 2, dtype=np.float32)
    corner = zoom * (np.floor(nuclei.center_xy).astype(np.int64) + SPRITE_PX // 2)
    for kind, name in enumerate(KINDS):
        sprites = draw_sprites(rng, LOOKS[name], zoom)
        chosen = np.flatnonzero(nuclei.kind == kind)
        picture = _pick(rng, nuclei.angle[chosen])
        for index, (left, top) in zip(picture.tolist(), corner[chosen].tolist(), strict=True):
            window = canvas[top : top + side, left : left + side]
            np.maximum(window, sprites[index], out=window)
    return canvas[side:-side, side:-side]


def _pick(rng: np.random.Generator, angle: NDArray[np.float64]) -> Int[NDArray[np.int64], " nucleus"]:
    """Choose a random variant in the nearest direction that is drawn."""
    direction = np.rint(angle * ANGLES / np.pi).astype(np.int64) % ANGLES
    return rng.integers(0, VARIANTS, len(angle)) * ANGLES + direction
