"""Glands of a phantom section: wobbly ellipses, in level-0 pixels of 0.5 µm."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from miso.phantom.fields import FINE_PX, MPP, STEP_PX, Field, at, scatter


@dataclass(frozen=True, slots=True, kw_only=True)
class Glands:
    """Glands as wobbly ellipses: centres (x, y) and mean radii in px, harmonics of the outline."""

    center_xy: Float[NDArray[np.float64], "gland 2"]
    radius_px: Float[NDArray[np.float64], " gland"]
    amplitude: Float[NDArray[np.float64], "gland harmonic"]
    phase: Float[NDArray[np.float64], "gland harmonic"]

    def outline(self, gland: NDArray[np.int64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
        """Radius in px of the given glands in the given directions."""
        order = np.arange(2, 2 + self.amplitude.shape[1])
        wave = np.cos(np.asarray(angle)[..., None] * order + self.phase[gland])
        return np.asarray(self.radius_px[gland] * (1 + (self.amplitude[gland] * wave).sum(axis=-1)))


def place_glands(rng: np.random.Generator, size_px: int, glandular: Field) -> Glands:
    """Place glands of 18 to 56 µm radius in their compartment, as large as their neighbours allow."""
    center = scatter(rng, size_px, 96 / MPP, jitter=0.24)
    center = center[(at(glandular, center, STEP_PX) > 0.12) & (rng.random(len(center)) < 0.93)]
    n, harmonics = len(center), 4
    room = np.full(n, 120 / MPP)
    if n > 1:
        distance, _ = cKDTree(center).query(center, k=[2])
        room = np.minimum(np.ravel(distance), room)
    return Glands(
        center_xy=center,
        radius_px=np.clip(rng.uniform(0.34, 0.50, n) * room, 18 / MPP, 56 / MPP),
        amplitude=rng.normal(0, 1, (n, harmonics)) * np.array([0.15, 0.05, 0.03, 0.02]),
        phase=rng.uniform(0, 2 * np.pi, (n, harmonics)),
    )


def gland_depth(glands: Glands, size_px: int) -> Field:
    """On the fine grid, the distance from a gland's centre over its radius there: 1 on its outline."""
    depth = np.full((size_px // FINE_PX,) * 2, 9, dtype=np.float32)
    for gland, (center, radius) in enumerate(zip(glands.center_xy, glands.radius_px, strict=True)):
        low = np.maximum((center - 1.7 * radius) // FINE_PX, 0).astype(int)
        high = np.minimum((center + 1.7 * radius) // FINE_PX, depth.shape[0]).astype(int)
        x = (np.arange(low[0], high[0]) + 0.5) * FINE_PX - center[0]
        y = ((np.arange(low[1], high[1]) + 0.5) * FINE_PX - center[1])[:, None]
        outline = glands.outline(np.full((1, 1), gland), np.arctan2(y, x))
        window = depth[low[1] : high[1], low[0] : high[0]]
        np.minimum(window, np.hypot(x, y) / outline, out=window)
    return depth
