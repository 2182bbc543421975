"""The k nearest spots of each spot, by distance in µm, itself first."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.spatial import KDTree

DEFAULT_K = 37
"""A centre and three hexagonal rings."""


def nearest_spots(
    center_um: Float[NDArray[np.float64], "spot 2"], k: int
) -> Int[NDArray[np.int64], "spot k"]:
    """Find each spot's k nearest spots, itself included; fewer than k spots give as many as there are."""
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    tree, k = KDTree(center_um), min(k, len(center_um))
    nearest = np.empty((len(center_um), k), dtype=np.int64)
    order = tree.indices  # leaf after leaf, so that what a query reads was read by the one before
    nearest[order] = tree.query(center_um[order], k=k)[1].reshape(-1, k)
    return nearest
