"""The MISO model: local attention over neighbouring spots, beside a linear part that it can only add to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import e, log
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from miso.models.attention import Network, NetworkConfig, mean_over
from miso.models.linear_inputs import LinearInputs
from miso.models.standardize import FeatureReference

SMALL_NETWORK = NetworkConfig(
    embed_dim=128, attention_dim=64, heads=4, depth=1, feed_forward="gelu", dropout=0.3, input_dropout=0.2
)
"""A network for few sections; the published one memorises them."""
SMALLEST_SCALE = 1e-6
"""Of a gene that was never counted, in molecules a spot."""


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
        Whether a ridge on the spot's features and its surroundings carries the prediction, with the networks
        adding what that misses. Without it the model is the published one.
    rank
        Expression programs that the linear part predicts, at most.
    programs
        Of these, the first that the networks mix.
    attend
        Nearest spots that the network attends to.
    reach
        Places in the list of nearest spots in which their weight falls by e, in the mean over surroundings
        that the linear part sees.
    hidden
        Random hidden units that the linear part sees.
    standardize
        Whether features are centred and scaled on each section (features only: no counts are looked at).
    link
        What the network's output passes through to become a value: nothing, or softplus times the gene's
        scale, which keeps rates of molecules above 0 and genes of all abundances alike to the network. Only
        without the linear part.
    """

    network: NetworkConfig = field(default=SMALL_NETWORK)
    members: int = 3
    linear: bool = True
    rank: int = 128
    programs: int = 32
    attend: int = 9
    reach: float = 8.0
    hidden: int = 1024
    standardize: bool = True
    link: Literal["identity", "softplus"] = "identity"


PUBLISHED = MisoConfig(network=NetworkConfig(), members=1, linear=False, attend=37, standardize=False)
"""Decision 5 as published."""


class MisoModel(nn.Module):
    """Predicts all spots of one section from their tile features and the lists of their neighbours."""

    linear_weight: Tensor
    linear_bias: Tensor
    programs: Tensor
    gain: Tensor
    scale: Tensor

    def __init__(self, in_dim: int, n_genes: int, config: MisoConfig) -> None:
        super().__init__()
        if config.link not in ("identity", "softplus") or (config.linear and config.link != "identity"):
            raise ValueError(
                f"a model {'with' if config.linear else 'without'} linear part has no link {config.link!r}"
            )
        self.config = config
        outputs = config.programs if config.linear else n_genes
        networks = [Network(in_dim, outputs, config.network) for _ in range(config.members)]
        self.networks: Sequence[Network] = nn.ModuleList(networks)  # type: ignore[assignment]  # and a Module
        if config.linear:
            self.inputs = LinearInputs(
                in_dim, hidden=config.hidden, reach=config.reach, standardize=config.standardize
            )
            self.register_buffer("linear_weight", torch.zeros(self.inputs.n, config.rank))
            self.register_buffer("linear_bias", torch.zeros(n_genes))
            self.register_buffer("programs", torch.zeros(config.rank, n_genes))
            self.register_buffer("gain", torch.ones(config.programs))
            for network in networks:
                nn.init.zeros_(network.head.weight)
                nn.init.zeros_(network.head.bias)
        if config.link == "softplus":
            self.register_buffer("scale", torch.ones(n_genes))

    def set_linear(
        self,
        weight: Float[Tensor, "inputs program"],
        programs: Float[Tensor, "program gene"],
        bias: Float[Tensor, " gene"],
    ) -> None:
        """Take over the linear part, in programs and what genes these have; fewer leave the rest at 0."""
        self.linear_weight.zero_()[:, : weight.shape[1]] = weight
        self.programs.zero_()[: len(programs)] = programs
        self.linear_bias.copy_(bias)

    @torch.no_grad()
    def start_at(self, rate: Float[Tensor, " gene"]) -> None:
        """Make each gene's rate, in molecules at mean library size, the scale of its values.

        Heads are set so that a network that has learnt nothing predicts just that: from a random start, the
        first steps of Adam throw rates off by factors. Only of a model with the link `softplus`.
        """
        self.scale.copy_(rate.clamp(min=SMALLEST_SCALE))
        for network in self.networks:
            nn.init.zeros_(network.head.weight)
            nn.init.constant_(network.head.bias, log(e - 1))  # softplus of it is 1

    def value(self, output: Float[Tensor, "spot gene"]) -> Float[Tensor, "spot gene"]:
        """Turn the networks' output into values: the link."""
        return self.scale * F.softplus(output) if self.config.link == "softplus" else output

    def forward(
        self, features: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "spot k"]
    ) -> Float[Tensor, "spot gene"]:
        """Predict one section; values may be below 0.

        Without gradients a section of any size is predicted part by part: beside features and result, memory
        holds a part, and the amounts of programs.
        """
        if not self.config.linear:
            return self.value(self.mixed(features, neighbors))
        amounts = self.inputs.times(self.linear_weight, features, neighbors)
        if self.gain.any():
            added, mixed = self.mixed(features, neighbors), len(self.gain)
            amounts[:, :mixed] += self.gain * (added - added.mean(0))
        return torch.addmm(self.linear_bias, amounts, self.programs)

    def mixed(
        self, features: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "spot k"]
    ) -> Float[Tensor, "spot output"]:
        """Return what the networks say, in the mean: amounts of programs, or without linear part of genes."""
        x = standardized(features) if self.config.standardize else features
        return mean_over(self.networks, x, neighbors[:, : self.config.attend])


def standardized(features: Float[Tensor, "spot dim"]) -> Float[Tensor, "spot dim"]:
    """Centre and scale features on their own section."""
    return FeatureReference.of(features).apply(features)
