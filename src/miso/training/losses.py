"""Losses over the spots of one section, per gene, by name."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from miso.errors import ConfigError
from miso.registry import Registry

Loss = Callable[[Float[Tensor, "spot gene"], Float[Tensor, "spot gene"]], Tensor]
losses: Registry[Loss] = Registry("loss", "miso.losses", ConfigError)


@losses.register("cosine")
def cosine_loss(predicted: Float[Tensor, "spot gene"], measured: Float[Tensor, "spot gene"]) -> Tensor:
    """Mean over genes of 1 − cosine over the spots (uncentred): the published MISO loss."""
    return (1 - F.cosine_similarity(predicted, measured, dim=0)).mean()


@losses.register("pearson")
def pearson_loss(predicted: Float[Tensor, "spot gene"], measured: Float[Tensor, "spot gene"]) -> Tensor:
    """Mean over genes of 1 − Pearson's r over the spots; of a gene that never varies r counts as 0."""
    return cosine_loss(predicted - predicted.mean(0), measured - measured.mean(0))


@losses.register("mse")
def squared_error(predicted: Float[Tensor, "spot gene"], measured: Float[Tensor, "spot gene"]) -> Tensor:
    """Mean squared error over spots and genes."""
    return F.mse_loss(predicted, measured)


@losses.register("mse+pearson")
def squared_error_and_pearson(
    predicted: Float[Tensor, "spot gene"], measured: Float[Tensor, "spot gene"]
) -> Tensor:
    """Mean squared error in units of each gene's variance on the section, plus the Pearson loss."""
    variance = measured.var(0, correction=0).clamp(min=1e-6)
    return torch.mean((predicted - measured) ** 2 / variance) + pearson_loss(predicted, measured)


def centred_mse(predicted: Float[Tensor, "spot gene"], measured: Float[Tensor, "spot gene"]) -> Tensor:
    """Mean squared error after each gene's section mean is taken off the prediction."""
    return torch.mean((predicted - predicted.mean(0) - measured) ** 2)
