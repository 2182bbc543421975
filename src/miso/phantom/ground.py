"""The H&E ground between the nuclei, as optical densities of two dyes on the fine grid of 1 µm."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage

from miso.phantom.fields import FINE_PX, MPP, STEP_UM, Field, resize, smooth_field, soft_step
from miso.phantom.tissue import Tissue

FINE_UM = FINE_PX * MPP
BAND = 128
"""Fine rows painted at a time, so that the work stays in the processor's cache."""
SIDE = 1024
"""Side of the textures that repeat; a power of 2."""

Layers = Float[NDArray[np.float32], "layer row col"]
"""Haematoxylin, eosin, and the eosin that is collagen fibres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Everything but nuclei: densities of the two dyes, and `collagen`, the fibres' part of the eosin."""

    haematoxylin: Field
    eosin: Field
    collagen: Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Textures:
    """Seamless random textures of mean 0 and variance 1, and the section's unevenness about 1."""

    grain: Field
    mottle: Field
    fibre: Field
    bundle: Field
    evenness: Field


def paint_ground(rng: np.random.Generator, tissue: Tissue) -> Ground:
    """Lay down stroma, then fat, nests, lymphoid tissue and glands over it."""
    textures = Textures(
        grain=_texture(rng, (1.2, 1.2)),
        mottle=_texture(rng, (4.0, 4.0)),
        fibre=_texture(rng, (2.6, 26.0)),
        bundle=_texture(rng, (5.4, 35.0)),
        evenness=1 + np.float32(0.05) * smooth_field(rng, tissue.outline.shape, 200 / STEP_UM),
    )
    n = tissue.gland_depth.shape[0]
    bands = [_paint_rows(tissue, textures, (row, min(row + BAND, n))) for row in range(0, n, BAND)]
    h, e, collagen = np.concatenate(bands, axis=1)
    return Ground(haematoxylin=h, eosin=e, collagen=collagen)


def _paint_rows(tissue: Tissue, textures: Textures, rows: tuple[int, int]) -> Layers:
    mottle = _tiled(textures.mottle, tissue, rows)
    layers = _stroma(tissue, textures, rows)
    wall = np.exp(-((_fine(tissue.fat_wall, tissue, rows) / 1.2) ** 2))
    _cover(layers, soft_step(_fine(tissue.adipose, tissue, rows), 30), 0.04 * wall, 0.01 + 0.36 * wall)
    lymphoid = soft_step(_fine(tissue.lymphoid, tissue, rows), 8)
    _cover(layers, lymphoid, 0.28 + 0.06 * mottle, 0.17 + 0.06 * mottle)
    nest = soft_step(_fine(tissue.nest, tissue, rows), 16)
    _cover(layers, nest, 0.25 + 0.07 * mottle, 0.36 + 0.10 * mottle)
    _paint_glands(layers, tissue, mottle, rows)
    inside = soft_step(_fine(tissue.outline, tissue, rows), 0.8)
    layers *= inside * _fine(textures.evenness, tissue, rows)
    layers[:2] *= np.maximum(1 + 0.11 * _tiled(textures.grain, tissue, rows), 0)
    return layers


def _stroma(tissue: Tissue, textures: Textures, rows: tuple[int, int]) -> Layers:
    """Wavy eosin fibres, torn open where the stroma is loose."""
    x = (np.arange(tissue.gland_depth.shape[1], dtype=np.float32) + 0.5) * FINE_UM
    y = (np.arange(*rows, dtype=np.float32)[:, None] + 0.5) * FINE_UM
    cos, sin = np.float32(np.cos(tissue.tilt)), np.float32(np.sin(tissue.tilt))
    u = _fine(tissue.warp[0], tissue, rows) + x * cos + y * sin
    v = _fine(tissue.warp[1], tissue, rows) - x * sin + y * cos
    fibre = _look_up(textures.fibre, u, v, cell_um=0.45)
    bundle = _look_up(textures.bundle, u, v, cell_um=1.0)
    loose = _fine(tissue.looseness, tissue, rows)
    density = np.clip(0.42 - 0.10 * loose + 0.10 * bundle, 0.13, 0.9)
    gap = soft_step(bundle + 0.55 * loose - 1.8 + 0.25 * fibre, 5)
    eosin = density * np.maximum(1 + 0.28 * fibre, 0.1) * (1 - 0.93 * gap)
    return np.asarray([0.05 + 0.08 * eosin, eosin, eosin], dtype=np.float32)


def _paint_glands(layers: Layers, tissue: Tissue, mottle: Field, rows: tuple[int, int]) -> None:
    """Epithelium with a rosy apical side about a lumen that is nearly glass."""
    depth = tissue.gland_depth[rows[0] : rows[1]] + np.float32(0.02) * mottle
    brim = np.asarray(
        np.clip(0.40 + 0.09 * _fine(tissue.cellularity, tissue, rows), 0.15, 0.52), dtype=np.float32
    )
    lumen: Field = soft_step(brim - depth, 40)
    apical: Field = np.exp(-(((depth - brim - 0.12) / 0.10) ** 2))
    h = (1 - lumen) * (0.25 - 0.13 * apical + 0.04 * mottle)
    e = (1 - lumen) * (0.25 + 0.17 * apical + 0.05 * mottle) + lumen * (0.03 + 0.015 * mottle)
    _cover(layers, soft_step(1 - depth, 60), h, e)


def _cover(layers: Layers, share: Field, haematoxylin: Field, eosin: Field) -> None:
    """Lay new tissue over the old, in place; it has no fibres."""
    layers *= 1 - share
    layers[0] += share * haematoxylin
    layers[1] += share * eosin


def _fine(field: Field, tissue: Tissue, rows: tuple[int, int]) -> Field:
    """Bring rows of a layout field to the fine grid."""
    side = tissue.gland_depth.shape[0]
    return resize(field, (side, side), rows)


def _texture(rng: np.random.Generator, sigma: tuple[float, float]) -> Field:
    """Draw a texture; long strokes are smoothed by two boxes, which is as good as a Gaussian and faster."""
    smooth: Field = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    for axis, width in enumerate(sigma):
        if width < 5:
            smooth = ndimage.gaussian_filter1d(smooth, width, axis=axis, mode="wrap", truncate=3)
        else:
            for _ in range(2):
                smooth = ndimage.uniform_filter1d(smooth, round(width * 6**0.5), axis=axis, mode="wrap")
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


def _tiled(texture: Field, tissue: Tissue, rows: tuple[int, int]) -> Field:
    """Rows of the fine grid, from a texture that repeats."""
    col = np.arange(tissue.gland_depth.shape[1]) % SIDE
    return texture[(np.arange(*rows) % SIDE)[:, None], col]


def _look_up(texture: Field, u: Field, v: Field, cell_um: float) -> Field:
    """Texture whose rows count along u and columns along v, in cells of `cell_um`."""
    row = (u * np.float32(1 / cell_um)).astype(np.int32) & (SIDE - 1)
    col = (v * np.float32(1 / cell_um)).astype(np.int32) & (SIDE - 1)
    return texture.ravel()[row * SIDE + col]
