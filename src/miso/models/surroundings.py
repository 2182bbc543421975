"""Means of features over the surroundings of each spot, whose lists of neighbours name the nearest first."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def neighbor_mean(
    x: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "some k"]
) -> Float[Tensor, "some dim"]:
    """Mean over each list, all neighbours alike."""
    return _weighted(x, neighbors, torch.full(neighbors.shape[1:], 1 / neighbors.shape[1], device=x.device))


def near_mean(
    x: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "some k"], reach: float
) -> Float[Tensor, "some dim"]:
    """Mean over each list, in which weight falls by e every `reach` places.

    As many spots as there are within some distance is an area: a weight that falls with rank like this falls
    with distance like a Gaussian, whose standard deviation is √(reach / 2π) pitches of a square lattice.
    """
    weight = torch.exp(-torch.arange(neighbors.shape[1], device=x.device) / reach)
    return _weighted(x, neighbors, weight / weight.sum())


def _weighted(
    x: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "some k"], weight: Float[Tensor, " k"]
) -> Float[Tensor, "some dim"]:
    """Sum over each list, without gathering it where torch can do so."""
    weight = weight.to(x.dtype)
    if x.device.type == "mps":  # which has no embedding_bag
        parts = [torch.einsum("skd,k->sd", x[part], weight) for part in torch.split(neighbors, 1024)]
        return torch.cat(parts)
    total: Tensor = F.embedding_bag(
        neighbors, x, per_sample_weights=weight.expand(neighbors.shape).contiguous(), mode="sum"
    )
    return total
