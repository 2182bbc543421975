"""What the default model's linear part sees of each spot: its features, its surroundings, and hidden units.

The hidden units are the sizes of random projections. With them, ridge on the inputs is ridge with the
arc-cosine kernel of an infinitely wide layer of rectified units (Cho and Saul, 2009), as closely as their
number allows (Rahimi and Recht, 2007): a network whose first layer is drawn instead of learnt, so that few
sections are enough to fit the rest, in closed form.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from miso.models.standardize import FeatureReference
from miso.models.surroundings import near_mean

AT_ONCE = 16_384
"""Spots that are worked on together."""
HIDDEN_SHARE = 0.5
"""Weight of hidden units beside features, in units of the latter's (benchmarks/choices.py)."""
Columns = Float[Tensor, "spot inputs"]


class _References(NamedTuple):
    own: FeatureReference
    near: FeatureReference


class LinearInputs(nn.Module):
    """Turns features and lists of neighbours into inputs, whose means over their section are 0.

    First come the inputs of the spot alone, then those that its surroundings have a say in: `alone` is how
    many the first are, `n` how many there are in all. Of the hidden units one half sees the spot alone.
    """

    of_own: Tensor
    of_both: Tensor

    def __init__(self, in_dim: int, *, hidden: int, reach: float, standardize: bool) -> None:
        super().__init__()
        self.reach, self.standardize = reach, standardize
        self.register_buffer("of_own", torch.randn(in_dim, hidden - hidden // 2))
        self.register_buffer("of_both", torch.randn(2 * in_dim, hidden // 2))
        self.alone, self.n = in_dim + self.of_own.shape[1], 2 * in_dim + hidden

    def forward(self, features: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "spot k"]) -> Columns:
        """Return the inputs of all spots of one section."""
        columns = self._columns(features, self._references(features, neighbors), neighbors, slice(None))
        columns -= columns.mean(0)
        return columns

    def times(
        self,
        weight: Float[Tensor, "inputs program"],
        features: Float[Tensor, "spot dim"],
        neighbors: Int[Tensor, "spot k"],
    ) -> Float[Tensor, "spot program"]:
        """Return the inputs' product with weights, without holding the inputs of a large section."""
        references = self._references(features, neighbors)
        out = features.new_empty(len(features), weight.shape[1])
        for rows in _parts(len(features)):
            out[rows] = self._columns(features, references, neighbors, rows) @ weight
        out -= out.mean(0)
        return out

    def _references(
        self, features: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "spot k"]
    ) -> _References | None:
        if not self.standardize:
            return None

        def near() -> Iterator[Float[Tensor, "some dim"]]:
            return (near_mean(features, neighbors[rows], self.reach) for rows in _parts(len(features)))

        return _References(FeatureReference.of(features), FeatureReference.of_parts(near))

    def _columns(
        self,
        features: Float[Tensor, "spot dim"],
        references: _References | None,
        neighbors: Int[Tensor, "spot k"],
        rows: slice,
    ) -> Columns:
        own, near = features[rows], near_mean(features, neighbors[rows], self.reach)
        if references:
            own, near = references.own.apply(own), references.near.apply(near)
        both = torch.cat([own, near], dim=1)
        share = HIDDEN_SHARE / max(self.n - both.shape[1], 1) ** 0.5
        return torch.cat(
            [own, share * (own @ self.of_own).abs(), near, share * (both @ self.of_both).abs()], 1
        )


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, start + AT_ONCE) for start in range(0, n, AT_ONCE))
