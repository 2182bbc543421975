"""The nuclei of a phantom section: kinds, centres (x, y) in level-0 pixels, directions in radians."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from miso.phantom.fields import MPP, STEP_PX, at, scatter
from miso.phantom.tissue import Composition, Tissue

KINDS = ("epithelial", "tumour", "lymphocyte", "fibroblast")
"""The kinds of cell; `Nuclei.kind` counts along them."""

Points = Float[NDArray[np.float64], "nucleus 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuclei:
    """Nuclei, one a row: centre in level-0 pixels, index into `KINDS`, direction of the long axis."""

    center_xy: Points
    kind: Int[NDArray[np.int64], " nucleus"]
    angle: Float[NDArray[np.float64], " nucleus"]


def sow_nuclei(rng: np.random.Generator, tissue: Tissue, composition: Composition) -> Nuclei:
    """Place every nucleus of a section; one that would lie on an earlier one is left out."""
    epithelial, radial = _gland_nuclei(rng, tissue)
    tumour = _thin(rng, tissue, 13.8, _tumour_share)
    lymphocyte = np.concatenate(
        [_thin(rng, tissue, 8.6, _lymphoid_share), _lone_lymphocytes(rng, tissue, composition.infiltration)]
    )
    fibroblast = _thin(rng, tissue, 18.0, _fibroblast_share)
    along = at(tissue.fibre_angle, fibroblast, STEP_PX) + rng.normal(0, 0.2, len(fibroblast))
    placed = [
        (epithelial, radial),
        (tumour, rng.uniform(0, np.pi, len(tumour))),
        (lymphocyte, rng.uniform(0, np.pi, len(lymphocyte))),
        (fibroblast, along),
    ]
    return _without_overlaps(placed, room_px=(6.0 / MPP, 8.5 / MPP, 6.0 / MPP, 7.0 / MPP))


def _gland_nuclei(rng: np.random.Generator, tissue: Tissue) -> tuple[Points, NDArray[np.float64]]:
    """Columnar nuclei on the glands' basal side, pointing at the lumen; large glands have a second row."""
    glands = tissue.glands
    ring = 0.82 * glands.radius_px
    count = np.floor(2 * np.pi * ring / (6.3 / MPP)).astype(np.int64)
    gland = np.repeat(np.arange(len(count)), count)
    first = np.repeat(np.cumsum(count) - count, count)
    angle = 2 * np.pi * (np.arange(len(gland)) - first + rng.normal(0, 0.18, len(gland))) / count[gland]
    depth = rng.normal(0.82, 0.035, len(gland))
    crowded = (glands.radius_px[gland] > 38 / MPP) & (rng.random(len(gland)) < 0.35)
    depth = np.where(crowded, depth - 0.17, depth)
    radius = depth * glands.outline(gland, angle)
    xy = glands.center_xy[gland] + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    keep = np.all((xy >= 0) & (xy < tissue.size_px), axis=-1)
    keep &= at(tissue.outline, np.clip(xy, 0, tissue.size_px - 1), STEP_PX) > 2
    return xy[keep], angle[keep] + rng.normal(0, 0.12, int(keep.sum()))


def _tumour_share(tissue: Tissue, xy: Points) -> NDArray[np.float32]:
    in_nest = at(tissue.nest, xy, STEP_PX) > 0.03
    return np.asarray(np.where(in_nest, 0.96, 0) * _outside_glands(tissue, xy), dtype=np.float32)


def _lymphoid_share(tissue: Tissue, xy: Points) -> NDArray[np.float32]:
    margin = at(tissue.lymphoid, xy, STEP_PX)
    share = np.where(margin > 0, np.clip(0.25 + 3.0 * margin, 0, 0.93), 0)
    return np.asarray(share * _outside_glands(tissue, xy), dtype=np.float32)


def _fibroblast_share(tissue: Tissue, xy: Points) -> NDArray[np.float32]:
    share = 0.45 + 0.25 * at(tissue.cellularity, xy, STEP_PX) - 0.06 * at(tissue.looseness, xy, STEP_PX)
    return np.clip(share, 0.08, 0.95) * _stroma(tissue, xy)


def _stroma(tissue: Tissue, xy: Points) -> NDArray[np.float32]:
    in_fat = (at(tissue.adipose, xy, STEP_PX) > 0) & (at(tissue.fat_wall, xy, STEP_PX) > 3)
    elsewhere = (at(tissue.nest, xy, STEP_PX) > -0.12) | (at(tissue.lymphoid, xy, STEP_PX) > 0.1) | in_fat
    return _outside_glands(tissue, xy) * ~elsewhere


def _lone_lymphocytes(rng: np.random.Generator, tissue: Tissue, infiltration: float) -> Points:
    def share(tissue: Tissue, xy: Points) -> NDArray[np.float32]:
        near = np.exp(2.0 * np.minimum(at(tissue.lymphoid, xy, STEP_PX), 0))
        return np.asarray(_stroma(tissue, xy) * infiltration * (0.3 + 2.2 * near))

    return _thin(rng, tissue, 14.0, share)


def _outside_glands(tissue: Tissue, xy: Points) -> NDArray[np.float32]:
    return (at(tissue.gland_depth_coarse, xy, STEP_PX) > 1.06).astype(np.float32)


def _thin(
    rng: np.random.Generator,
    tissue: Tissue,
    spacing_um: float,
    share: Callable[[Tissue, Points], NDArray[np.float32]],
) -> Points:
    """Keep each site of a jittered lattice with a probability that depends on where it lies."""
    xy = scatter(rng, tissue.size_px, spacing_um / MPP, jitter=0.26)
    inside = at(tissue.outline, xy, STEP_PX) > 3
    return xy[inside & (rng.random(len(xy)) < share(tissue, xy))]


def _without_overlaps(
    placed: Sequence[tuple[Points, NDArray[np.float64]]], room_px: Sequence[float]
) -> Nuclei:
    """Join the kinds in order, leaving out nuclei nearer than their kind's room to one of an earlier kind."""
    xy, angle = placed[0]
    kind = np.zeros(len(xy), dtype=np.int64)
    for index, ((more, direction), room) in enumerate(zip(placed[1:], room_px[1:], strict=True), start=1):
        free = np.ones(len(more), dtype=bool)
        if len(xy) and len(more):
            free = np.isinf(cKDTree(xy).query(more, distance_upper_bound=room)[0])
        xy, angle = np.concatenate([xy, more[free]]), np.concatenate([angle, direction[free]])
        kind = np.concatenate([kind, np.full(int(free.sum()), index)])
    return Nuclei(center_xy=xy, kind=kind, angle=angle)
