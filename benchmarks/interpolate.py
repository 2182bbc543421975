"""Values at points, taken over from others: the nearest, linearly on triangles, or by inverse distance."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import KDTree

from miso.geometry import Points

IDW_POINTS, IDW_POWER = 8, 2
"""Nearest points that are weighted by distance⁻², as is customary (Shepard, ACM National Conference 1968)."""
Values = Float[NDArray[np.floating], "point gene"]


def interpolate(at: Points, values: Values, to: Points, how: str) -> Values:
    """Estimate values at other points; `how` is nearest, linear (nearest outside the outermost) or IDW."""
    return {"nearest": _nearest, "linear": _linear, "IDW": _idw}[how](np.asarray(at), values, np.asarray(to))


def _nearest(at: Points, values: Values, to: Points) -> Values:
    return values[KDTree(at).query(to)[1]]


def _linear(at: Points, values: Values, to: Points) -> Values:
    found = LinearNDInterpolator(at, values)(to)
    return np.where(np.isnan(found), _nearest(at, values, to), found)


def _idw(at: Points, values: Values, to: Points) -> Values:
    distance, near = KDTree(at).query(to, k=min(IDW_POINTS, len(at)))
    weight = 1 / np.maximum(distance, 1e-3) ** IDW_POWER
    weight /= weight.sum(axis=1, keepdims=True)
    found = np.zeros((len(to), values.shape[1]))
    for k in range(weight.shape[1]):
        found += weight[:, [k]] * values[near[:, k]]
    return found
