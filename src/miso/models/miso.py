"""The MISO model: local attention over neighbouring spots, beside a linear part that it can only add to."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from miso.models.attention import Network, NetworkConfig, neighbor_mean
from miso.models.ridge import Linear
from miso.models.standardize import FeatureReference

SMALL_NETWORK = NetworkConfig(
    embed_dim=128, attention_dim=64, heads=4, depth=1, feed_forward="gelu", dropout=0.3, input_dropout=0.2
)
"""A network for few sections; the published one memorises them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MisoConfig:
    """What the model is made of.

    Attributes
    ----------
    network
        Sizes of the local-attention network.
    members
        Networks whose mean is taken, alike but for their random start.
    linear
        Whether a ridge on [the spot's features, its neighbourhood's mean] carries the prediction, with the
        network adding what that misses. Without it the model is the published one.
    attend
        Nearest spots that the network attends to.
    context
        Nearest spots in the mean that the linear part sees.
    standardize
        Whether features are centred and scaled on each section (features only: no counts are looked at).
    """

    network: NetworkConfig = field(default=SMALL_NETWORK)
    members: int = 3
    linear: bool = True
    attend: int = 9
    context: int = 25
    standardize: bool = True


PUBLISHED = MisoConfig(network=NetworkConfig(), members=1, linear=False, attend=37, standardize=False)
"""Decision 5 as published."""


class MisoModel(nn.Module):
    """Predicts all spots of one section from their tile features and the lists of their neighbours."""

    linear_weight: Tensor
    linear_bias: Tensor
    scale: Tensor
    gain: Tensor

    def __init__(self, in_dim: int, n_genes: int, config: MisoConfig) -> None:
        super().__init__()
        self.config = config
        networks = [Network(in_dim, n_genes, config.network) for _ in range(config.members)]
        self.networks = nn.ModuleList(networks)
        if config.linear:
            self.register_buffer("linear_weight", torch.zeros(2 * in_dim, n_genes))
            self.register_buffer("linear_bias", torch.zeros(n_genes))
            self.register_buffer("scale", torch.ones(n_genes))
            self.register_buffer("gain", torch.ones(()))
            for network in networks:
                nn.init.zeros_(network.head.weight)
                nn.init.zeros_(network.head.bias)

    def set_linear(self, linear: Linear) -> None:
        """Take over the linear part."""
        self.linear_weight.copy_(linear.weight)
        self.linear_bias.copy_(linear.bias)

    def forward(
        self, features: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "spot k"]
    ) -> Float[Tensor, "spot gene"]:
        """Predict one section; values may be below 0."""
        x = standardized(features) if self.config.standardize else features
        near = neighbors[:, : self.config.attend]
        added = torch.stack([network(x, near) for network in self.networks]).mean(0)
        if not self.config.linear:
            return added
        base = linear_inputs(features, neighbors, self.config) @ self.linear_weight + self.linear_bias
        return base + self.gain * self.scale * (added - added.mean(0))


def standardized(features: Float[Tensor, "spot dim"]) -> Float[Tensor, "spot dim"]:
    """Centre and scale features on their own section."""
    return FeatureReference.of(features).apply(features)


def linear_inputs(
    features: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "spot k"], config: MisoConfig
) -> Float[Tensor, "spot two_dim"]:
    """Each spot's features and the mean over its nearest spots, both scaled as the configuration says."""
    around = neighbor_mean(features, neighbors[:, : config.context])
    if not config.standardize:
        return torch.cat([features, around], dim=1)
    return torch.cat([standardized(features), standardized(around)], dim=1)
