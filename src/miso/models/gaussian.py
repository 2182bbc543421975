"""A Gaussian that few points tell of: some principal axes, and one variance along all other dimensions."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

LEAST = 0.01
"""Least variance along an axis, against the mean of all."""
DENSE = 512
"""Of fewer dimensions all axes are computed, of more the first alone."""
ROUNDS, SPARE = 12, 16
"""Iterations that find the first axes of many, among so many more."""
AXES = 16
"""Principal axes at most."""

Points = Float[NDArray[np.float64], "point dim"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaussian:
    """Some principal axes with the variance along each, and `rest`, the variance along every other axis."""

    mean: Float[NDArray[np.float64], " dim"]
    axes: Float[NDArray[np.float64], "axis dim"]
    variance: Float[NDArray[np.float64], " axis"]
    rest: float

    def distance(self, points: Points) -> Float[NDArray[np.float64], " point"]:
        """Return how far points lie from it (see `mahalanobis`)."""
        return mahalanobis(points, self.mean, self.axes, self.variance, self.rest)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sums:
    """Sums over points, so that some can be left out."""

    n: int
    x: Float[NDArray[np.float64], " dim"]
    xx: Float[NDArray[np.float64], "dim dim"]

    @classmethod
    def of(cls, points: Points) -> Self:
        """Sum over points."""
        return cls(n=len(points), x=points.sum(axis=0), xx=points.T @ points)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(n=self.n + other.n, x=self.x + other.x, xx=self.xx + other.xx)

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(n=self.n - other.n, x=self.x - other.x, xx=self.xx - other.xx)

    def gaussian(self) -> Gaussian:
        """Fit the Gaussian (Tipping and Bishop, 1999), no variance of which is next to nothing."""
        mean = self.x / self.n
        covariance = self.xx / self.n - np.outer(mean, mean)
        dim, total = len(mean), float(np.trace(covariance))
        n_axes = min(AXES, dim - 1, self.n // 10)
        variance, axes = _largest(covariance, n_axes)
        least = max(LEAST * total / dim, 1e-12)
        return Gaussian(
            mean=mean,
            axes=axes,
            variance=np.maximum(variance, least),
            rest=max((total - float(variance.sum())) / (dim - n_axes), least),
        )


def _largest(
    covariance: Float[NDArray[np.float64], "dim dim"], n_axes: int
) -> tuple[Float[NDArray[np.float64], " axis"], Float[NDArray[np.float64], "axis dim"]]:
    """Return the largest variances, largest first, and their axes; always the same ones.

    Where dimensions are many, by subspace iteration (Halko et al., SIAM Review 2011).
    """
    if len(covariance) <= DENSE:
        values, vectors = np.linalg.eigh(covariance)
    else:
        start = np.random.default_rng(0).normal(size=(len(covariance), n_axes + SPARE))
        space = np.linalg.qr(start).Q
        for _ in range(ROUNDS):
            space = np.linalg.qr(covariance @ space).Q
        values, within = np.linalg.eigh(space.T @ covariance @ space)
        vectors = space @ within
    order = np.argsort(values)[::-1][:n_axes]
    return values[order], vectors.T[order]


def mahalanobis(
    points: Points,
    mean: Float[NDArray[np.floating[Any]], " dim"],
    axes: Float[NDArray[np.floating[Any]], "axis dim"],
    variance: Float[NDArray[np.floating[Any]], " axis"],
    rest: float,
) -> Float[NDArray[np.float64], " point"]:
    """Distance of points from a Gaussian with some principal axes and one variance along all others."""
    centred = points - mean
    along = centred @ axes.T
    across = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
    return np.asarray(np.sqrt((along**2 / variance).sum(axis=1) + across / rest), dtype=np.float64)
