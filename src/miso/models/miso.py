"""The MISO model: local attention over neighbouring spots, beside a linear part that it can only add to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from miso.models.attention import Network, NetworkConfig, mean_over, neighbor_mean
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
        Whether a ridge on the spot's features and its neighbourhood's means carries the prediction, with the
        network adding what that misses. Without it the model is the published one.
    programs
        Expression programs that the network's share is a mixture of.
    attend
        Nearest spots that the network attends to.
    context
        Nearest spots in each of the means that the linear part sees.
    standardize
        Whether features are centred and scaled on each section (features only: no counts are looked at).
    """

    network: NetworkConfig = field(default=SMALL_NETWORK)
    members: int = 3
    linear: bool = True
    programs: int = 32
    attend: int = 9
    context: tuple[int, ...] = (25,)
    standardize: bool = True


PUBLISHED = MisoConfig(network=NetworkConfig(), members=1, linear=False, attend=37, standardize=False)
"""Decision 5 as published."""


class MisoModel(nn.Module):
    """Predicts all spots of one section from their tile features and the lists of their neighbours."""

    linear_weight: Tensor
    linear_bias: Tensor
    programs: Tensor
    gain: Tensor

    def __init__(self, in_dim: int, n_genes: int, config: MisoConfig) -> None:
        super().__init__()
        self.config = config
        outputs = config.programs if config.linear else n_genes
        networks = [Network(in_dim, outputs, config.network) for _ in range(config.members)]
        self.networks: Sequence[Network] = nn.ModuleList(networks)  # type: ignore[assignment]  # and a Module
        if config.linear:
            self.register_buffer("linear_weight", torch.zeros((1 + len(config.context)) * in_dim, n_genes))
            self.register_buffer("linear_bias", torch.zeros(n_genes))
            self.register_buffer("programs", torch.zeros(config.programs, n_genes))
            self.register_buffer("gain", torch.ones(()))
            for network in networks:
                nn.init.zeros_(network.head.weight)
                nn.init.zeros_(network.head.bias)

    def set_linear(self, linear: Linear, programs: Float[Tensor, "program gene"]) -> None:
        """Take over the linear part and the programs that the network mixes; fewer leave the rest at 0."""
        self.linear_weight.copy_(linear.weight)
        self.linear_bias.copy_(linear.bias)
        self.programs.zero_()[: len(programs)] = programs[: len(self.programs)]

    def forward(
        self, features: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "spot k"]
    ) -> Float[Tensor, "spot gene"]:
        """Predict one section; values may be below 0.

        Without gradients a section of any size is predicted in bounded memory.
        """
        x = standardized(features) if self.config.standardize else features
        added = mean_over(self.networks, x, neighbors[:, : self.config.attend])
        if not self.config.linear:
            return added
        base = linear_inputs(features, neighbors, self.config) @ self.linear_weight + self.linear_bias
        return base + self.gain * (added - added.mean(0)) @ self.programs


def standardized(features: Float[Tensor, "spot dim"]) -> Float[Tensor, "spot dim"]:
    """Centre and scale features on their own section."""
    return FeatureReference.of(features).apply(features)


def linear_inputs(
    features: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "spot k"], config: MisoConfig
) -> Float[Tensor, "spot inputs"]:
    """Each spot's features and the means over its nearest spots, scaled as the configuration says."""
    around = [neighbor_mean(features, neighbors[:, :nearest]) for nearest in config.context]
    parts = [features, *around]
    return torch.cat([standardized(part) if config.standardize else part for part in parts], dim=1)
