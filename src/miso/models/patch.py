"""The student: expression of each patch from its feature alone; a spot is the mean over its patches."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from miso.geometry import PatchGrid
from miso.models.standardize import FeatureReference

Pool = Literal["disc", "tile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchConfig:
    """What the student is made of.

    Attributes
    ----------
    hidden
        Widths of the hidden layers; the published student has (1024, 512).
    factors
        Expression programs between patch and genes, or 0 for the published dense layer. A patch is a
        non-negative mixture of non-negative programs, so no gene falls below 0, and pooling mixtures is
        exactly pooling genes.
    pool
        "disc": a spot is the mean over its disc, patches weighted by their share in it; "tile": over the
        whole tile, as published.
    standardize
        Whether patch features are centred and scaled on each slide.
    dropout
        Share of hidden units left out while training, the same ones for all patches of a spot.
    """

    hidden: tuple[int, ...] = (256, 128)
    factors: int = 32
    pool: Pool = "disc"
    standardize: bool = True
    dropout: float = 0.2

    def weights(
        self, grid: PatchGrid, spot_diameter_um: float, *, square: bool = False
    ) -> Float[NDArray[np.float32], " patch"]:
        """Share of each patch in a spot (a disc, or a square bin of that side), as `pool` says; sums to 1."""
        if self.pool == "tile":
            return np.full(grid.n_patches, 1 / grid.n_patches, dtype=np.float32)
        return grid.square_weights(spot_diameter_um) if square else grid.disc_weights(spot_diameter_um)


PUBLISHED_PATCH = PatchConfig(hidden=(1024, 512), factors=0, pool="tile", standardize=False, dropout=0.0)


class SpotDropout(nn.Module):
    """Leaves out the same units of all patches of a spot.

    A spot is then predicted by one part of the network, and a hundred times fewer random numbers are drawn.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, units: Float[Tensor, "*spot patch unit"]) -> Float[Tensor, "*spot patch unit"]:
        """Scale the units that stay, so that their sum is expected to be the same."""
        if not self.training or not self.share:
            return units
        return units * F.dropout(torch.ones_like(units[..., :1, :]), self.share)


class PatchModel(nn.Module):
    """Patch features in, values per patch and gene out, not below 0 where the target cannot be."""

    programs: Float[Tensor, "factor gene"]

    def __init__(self, in_dim: int, n_genes: int, config: PatchConfig, *, nonnegative: bool = True) -> None:
        super().__init__()
        self.config, self.nonnegative = config, nonnegative
        widths = [in_dim, *config.hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), SpotDropout(config.dropout)]
        self.network = nn.Sequential(*layers, nn.Linear(widths[-1], config.factors or n_genes))
        if config.factors:
            self.skip = nn.Linear(in_dim, config.factors, bias=False)
            self.register_buffer("programs", torch.zeros(config.factors, n_genes))

    def forward(
        self,
        features: Float[Tensor, "*batch dim"],
        reference: FeatureReference | None = None,
        genes: Int[Tensor, " gene"] | None = None,
    ) -> Float[Tensor, "*batch gene"]:
        """Predict each patch.

        `reference` is what the slide's patch features are measured against; without one it is taken from the
        features given. `genes` are the numbers of those to predict; without them, all.
        """
        return self.decode(self.mixture(features, reference), genes)

    def spots(
        self,
        features: Float[Tensor, "spot patch dim"],
        weights: Float[Tensor, " patch"],
        reference: FeatureReference | None = None,
    ) -> Float[Tensor, "spot gene"]:
        """Predict spots: the weighted mean of their patches' predictions (`weights` sum to 1)."""
        pooled = torch.einsum("spf,p->sf", self.mixture(features, reference), weights)
        return self.decode(pooled)

    def mixture(
        self, features: Float[Tensor, "*batch dim"], reference: FeatureReference | None = None
    ) -> Float[Tensor, "*batch factor"]:
        """How much of each program a patch has; without programs, its genes."""
        x = features
        if self.config.standardize:
            x = (reference or FeatureReference.of(features)).apply(features)
        out: Tensor = self.network(x)
        if not self.config.factors:
            return out.relu() if self.nonnegative else out
        out = out + self.skip(x)
        return F.softplus(out) if self.nonnegative else out

    def decode(
        self, mixture: Float[Tensor, "*batch factor"], genes: Int[Tensor, " gene"] | None = None
    ) -> Float[Tensor, "*batch gene"]:
        """Turn mixtures of programs into genes; linear, so it commutes with any mean over patches."""
        if not self.config.factors:
            return mixture if genes is None else mixture[..., genes]
        return mixture @ (self.programs if genes is None else self.programs[:, genes])
