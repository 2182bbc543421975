"""Losses over the spots of one section, per gene."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Float[Tensor, "spot gene"], Float[Tensor, "spot gene"]], Tensor]


def cosine_loss(predicted: Float[Tensor, "spot gene"], measured: Float[Tensor, "spot gene"]) -> Tensor:
    """Mean over genes of 1 − cosine over the spots (uncentred): the published MISO loss."""
    return (1 - F.cosine_similarity(predicted, measured, dim=0)).mean()


def centred_mse(predicted: Float[Tensor, "spot gene"], measured: Float[Tensor, "spot gene"]) -> Tensor:
    """Mean squared error after each gene's section mean is taken off the prediction."""
    return torch.mean((predicted - predicted.mean(0) - measured) ** 2)
