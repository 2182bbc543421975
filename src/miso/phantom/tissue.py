"""Where the phantom's tissue, compartments, glands and fibres lie; px are level-0 pixels of 0.5 µm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from miso.phantom.fields import FINE_PX, MPP, STEP_PX, STEP_UM, Field, at, scatter, smooth_field
from miso.phantom.glands import Glands, gland_depth, place_glands


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """What a patient's tissue tends to hold.

    Attributes
    ----------
    adipose, glandular, tumour, lymphoid
        Shares of the tissue's area; the rest is stroma. `tumour` holds nests and the stroma between them.
    nest_share
        Share of the tumour compartment that is tumour nests.
    infiltration
        Probability that a site between the compartments holds a lone lymphocyte.
    collagen
        Mean density of the stroma's fibres, about 1.
    """

    adipose: float
    glandular: float
    tumour: float
    lymphoid: float
    nest_share: float
    infiltration: float
    collagen: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """A section's layout; margins are positive inside and negative outside.

    Attributes
    ----------
    size_px
        Side of the square section in level-0 pixels.
    outline, adipose, nest, lymphoid
        Signed margins on the grid of `STEP_PX`.
    looseness, cellularity
        Smooth fields of mean 0 and variance 1: how open the stroma is, how many fibroblasts it holds.
    warp
        Displacement (u, v) of the fibres' coordinates in µm.
    fibre_angle, tilt
        Direction of the fibres and its section-wide mean, in radians.
    glands, gland_depth
        Glands, and on the grid of `FINE_PX` the distance from the nearest gland's centre over its radius.
    fat_wall
        Distance in µm to the wall of the nearest fat cell, outside adipose tissue large.
    """

    size_px: int
    outline: Field
    adipose: Field
    nest: Field
    lymphoid: Field
    looseness: Field
    cellularity: Field
    warp: tuple[Field, Field]
    fibre_angle: Field
    tilt: float
    glands: Glands
    gland_depth: Field
    fat_wall: Field

    @property
    def gland_depth_coarse(self) -> Field:
        """`gland_depth` on the grid of `STEP_PX`."""
        half = STEP_PX // FINE_PX // 2
        return self.gland_depth[half :: 2 * half, half :: 2 * half]


def grow_tissue(rng: np.random.Generator, size_px: int, composition: Composition) -> Tissue:
    """Lay out one section of `size_px`² level-0 pixels; `size_px` is a multiple of 16."""
    shape = (size_px // STEP_PX,) * 2
    outline = _outline(rng, shape)
    fat, fat_wall, nest, lymphoid, glandular = _compartments(rng, size_px, outline > 0, composition)
    glands = place_glands(rng, size_px, np.minimum(glandular, outline / 40))
    tilt, warp = float(rng.uniform(0, np.pi)), _warp(rng, shape)
    return Tissue(
        size_px=size_px,
        outline=outline,
        adipose=fat,
        nest=nest,
        lymphoid=lymphoid,
        looseness=smooth_field(rng, shape, 90 / STEP_UM) - np.float32(2 * (composition.collagen - 1)),
        cellularity=smooth_field(rng, shape, 50 / STEP_UM),
        warp=warp,
        fibre_angle=_fibre_angle(warp[0], tilt),
        tilt=tilt,
        glands=glands,
        gland_depth=gland_depth(glands, size_px),
        fat_wall=fat_wall,
    )


def _compartments(
    rng: np.random.Generator, size_px: int, inside: NDArray[np.bool_], composition: Composition
) -> tuple[Field, Field, Field, Field, Field]:
    """Margins of fat, its walls, tumour nests, lymphoid aggregates and the glands' compartment.

    Compartments are about 400 µm wide (less on small sections), aggregates 60 µm, nests 30 to 100 µm.
    """
    shape = (inside.shape[0], inside.shape[1])
    coarse = min(200.0, size_px * MPP / 12) / STEP_UM
    fat, fat_wall = _fat(
        rng, size_px, _top_share(smooth_field(rng, shape, coarse), inside, composition.adipose)
    )
    glandular = _top_share(smooth_field(rng, shape, coarse), inside & (fat < 0), composition.glandular)
    glandular = np.minimum(glandular, -fat)
    rest = inside & (fat < 0) & (glandular < 0)
    tumour = _top_share(smooth_field(rng, shape, coarse), rest, composition.tumour)
    tumour = np.minimum(tumour, np.minimum(-fat, -glandular) + 0.1)
    local = smooth_field(rng, shape, 26 / STEP_UM) + smooth_field(rng, shape, coarse)
    lymphoid = np.minimum(_top_share(local, inside & (fat < 0), composition.lymphoid), -fat)
    grain = 0.75 * smooth_field(rng, shape, 40 / STEP_UM) + 0.65 * smooth_field(rng, shape, 17 / STEP_UM)
    nest = np.minimum(_top_share(grain, inside, composition.nest_share), np.minimum(2 * tumour, -lymphoid))
    return fat, fat_wall, nest, lymphoid, glandular


def _outline(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Signed distance in µm to an irregular outline that fills most of the section."""
    along = (np.arange(shape[0]) + 0.5) / shape[0] * 2 - 1
    x, y = np.meshgrid(along, along)
    turn = np.linspace(-np.pi, np.pi, 721)
    order = np.arange(2, 9)
    wave = np.cos(turn[:, None] * order + rng.uniform(0, 2 * np.pi, order.size))
    rim = 0.88 + wave @ (rng.normal(0, 0.14, order.size) / order)
    radius = np.interp(np.arctan2(y, x), turn, rim)
    distance = (radius - np.cbrt(np.abs(x**3) + np.abs(y**3))) * shape[0] / 2 * STEP_UM
    margin = (0.965 - np.maximum(np.abs(x), np.abs(y))) * shape[0] / 2 * STEP_UM
    ragged = 12 * smooth_field(rng, shape, 30 / STEP_UM) + 3 * smooth_field(rng, shape, 6 / STEP_UM)
    return np.asarray(np.minimum(distance, margin) + ragged, dtype=np.float32)


def _top_share(field: Field, among: NDArray[np.bool_], share: float) -> Field:
    """Margin that is positive on the `share` of the chosen cells with the highest values."""
    if share <= 0 or not among.any():
        return np.full_like(field, -9)
    return field - np.float32(np.quantile(field[among], 1 - min(share, 1.0)))


def _fat(rng: np.random.Generator, size_px: int, margin: Field) -> tuple[Field, Field]:
    """Whole fat cells where `margin` is positive: 0.1 per µm from their edge, and µm to the nearest wall."""
    seeds = scatter(rng, size_px, 58 / MPP, jitter=0.28)
    wall, edge = np.full_like(margin, 9), np.full_like(margin, -0.9)
    row, col = np.nonzero(margin > -1)
    if len(row) and len(seeds) > 1:
        distance, nearest = map(
            np.asarray, cKDTree(seeds).query((np.stack([col, row], axis=-1) + 0.5) * STEP_PX, k=2)
        )
        wall[row, col] = (distance[:, 1] - distance[:, 0]) * MPP / 2
        own, next_one = (at(margin, seeds, STEP_PX) > 0)[nearest].T
        away = np.where(own == next_one, 9, np.minimum(wall[row, col], 9))
        edge[row, col] = np.where(own, away, -away) / 10
    return edge, wall


def _warp(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Field, Field]:
    u = 70 * smooth_field(rng, shape, 110 / STEP_UM) + 3.0 * smooth_field(rng, shape, 14 / STEP_UM)
    v = 40 * smooth_field(rng, shape, 150 / STEP_UM)
    return u, v


def _fibre_angle(warp_u: Field, tilt: float) -> Field:
    """Direction along which u = x cos(tilt) + y sin(tilt) + warp stays the same."""
    du_dy, du_dx = np.gradient(ndimage.gaussian_filter(warp_u, 1.0), STEP_UM)
    return np.asarray(np.arctan2(du_dx + np.cos(tilt), -(du_dy + np.sin(tilt))), dtype=np.float32)
