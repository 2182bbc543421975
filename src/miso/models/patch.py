"""The student: expression of each patch from that patch's feature alone; a spot is the mean over its patches."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from miso.models.ridge import Linear
from miso.models.standardize import FeatureReference

Pool = Literal["disc", "tile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchConfig:
    """What the student is made of.

    Attributes
    ----------
    hidden
        Widths of the hidden layers; the published student has (1024, 512).
    linear
        Whether a linear map of the patch feature carries the prediction, with the network added to it.
    pool
        "disc": a spot is the mean over its disc, patches weighted by their share in it; "tile": over the
        whole tile, as published.
    standardize
        Whether patch features are centred and scaled on each slide.
    dropout
        Share of hidden units left out while training.
    """

    hidden: tuple[int, ...] = (256, 128)
    linear: bool = True
    pool: Pool = "disc"
    standardize: bool = True
    dropout: float = 0.2


PUBLISHED_PATCH = PatchConfig(hidden=(1024, 512), linear=False, pool="tile", standardize=False, dropout=0.0)


class PatchModel(nn.Module):
    """Patch features in, non-negative (where the target is) values per patch and gene out."""

    def __init__(self, in_dim: int, n_genes: int, config: PatchConfig, *, nonnegative: bool = True) -> None:
        super().__init__()
        self.config, self.nonnegative = config, nonnegative
        self.linear = nn.Linear(in_dim, n_genes) if config.linear else None
        widths = [in_dim, *config.hidden]
        hidden: list[nn.Module] = []
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            hidden += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(config.dropout)]
        self.network = nn.Sequential(*hidden, nn.Linear(widths[-1], n_genes))
        if config.linear:
            head = self.network[-1]
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]  # Sequential holds modules of any kind
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def set_linear(self, linear: Linear) -> None:
        """Start from a linear map fitted beforehand."""
        if self.linear is None:
            raise ValueError("this student has no linear part")
        with torch.no_grad():
            self.linear.weight.copy_(linear.weight.T)
            self.linear.bias.copy_(linear.bias)

    def forward(
        self, features: Float[Tensor, "*batch dim"], reference: FeatureReference | None = None
    ) -> Float[Tensor, "*batch gene"]:
        """Predict each patch.

        `reference` is what the slide's patch features are measured against; without one it is taken from the
        features given.
        """
        x = self.standardized(features, reference)
        out: Tensor = self.network(x)
        if self.linear is not None:
            out = out + self.linear(x)
        return out.relu() if self.nonnegative else out

    def standardized(
        self, features: Float[Tensor, "*batch dim"], reference: FeatureReference | None
    ) -> Float[Tensor, "*batch dim"]:
        """Scale features as the network sees them."""
        if not self.config.standardize:
            return features
        return (reference or FeatureReference.of(features)).apply(features)


def pool_patches(
    patches: Float[Tensor, "spot patch gene"], weights: Float[Tensor, " patch"]
) -> Float[Tensor, "spot gene"]:
    """Weighted mean over a spot's patches; `weights` sum to 1."""
    return torch.einsum("spg,p->sg", patches, weights)
