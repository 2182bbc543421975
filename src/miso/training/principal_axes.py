"""Principal axes of genes over the spots of many sections, which are passed over and never held together."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Values = Float[Tensor, "spot gene"]
MOST_GENES = 3000
"""With more genes than this their covariances are not written out."""
OVERSAMPLED = 32
PASSES = 6


def principal_axes(
    values: Callable[[], Iterable[Values]],
    spots: Float[Tensor, " section"],
    measured: Bool[Tensor, "section gene"],
    most: int,
) -> Float[Tensor, "axis gene"]:
    """Return the axes of the greatest variance, the greatest first; no more than spots or genes.

    Up to `MOST_GENES` genes they are eigenvectors of the covariances, of which two genes' is over the spots
    that measured both. Beyond, they come from six passes of randomised subspace iteration (Halko, Martinsson
    and Tropp, SIAM Review 2011), from a fixed start. There a gene's variance is over the spots that measured
    it, and a covariance of genes that were measured on n and m spots, k of them the same, is k / √(n·m) of
    what it is on these k: genes that were measured together on all sections of either count in full.

    Parameters
    ----------
    values
        Passes over the sections' values, each centred on its section; 0 where a gene was not measured.
    """
    most = min(most, int(spots.sum()), measured.shape[1])
    if measured.shape[1] <= MOST_GENES:
        return _of_covariances(values(), spots, measured.double())[:most]
    return _by_iteration(values, spots, measured.double(), most)


def _of_covariances(
    values: Iterable[Values], spots: Float[Tensor, " section"], measured: Float[Tensor, "section gene"]
) -> Float[Tensor, "axis gene"]:
    n_genes = measured.shape[1]
    covariance = torch.zeros(n_genes, n_genes, dtype=torch.float64)
    for each in values:
        covariance.addmm_(each.T, each)
    covariance /= ((measured.T * spots) @ measured).clamp(min=1)
    _, axes = torch.linalg.eigh(covariance)
    found: Tensor = axes.flip(1).T
    return found


def _by_iteration(
    values: Callable[[], Iterable[Values]],
    spots: Float[Tensor, " section"],
    measured: Float[Tensor, "section gene"],
    most: int,
) -> Float[Tensor, "axis gene"]:
    n_genes = measured.shape[1]
    weight = (spots @ measured).clamp(min=1).rsqrt()[:, None]
    start = torch.Generator().manual_seed(0)  # what is found hardly depends on it
    width = min(most + OVERSAMPLED, n_genes)
    basis = torch.randn(n_genes, width, dtype=torch.float64, generator=start)
    turned = basis
    for _ in range(PASSES):
        basis, _ = torch.linalg.qr(turned)
        weighted, turned = weight * basis, torch.zeros_like(basis)
        for each in values():
            turned.addmm_(each.T, each @ weighted)
        turned *= weight
    inside = basis.T @ turned  # the covariances within what the basis spans
    _, axes = torch.linalg.eigh((inside + inside.T) / 2)
    found: Tensor = (basis @ axes.flip(1)[:, :most]).T
    return found
