"""Attention of each spot over its nearest spots: the network of the MISO model, read top to bottom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from miso.models.block_attention import attend
from miso.models.neighborhood import Blocks, blocks_of, parts_with_surroundings
from miso.models.norm_linear import embedded_norm_linear, norm_linear

AT_ONCE = 16_384
"""Spots that are predicted together, their surroundings aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Sizes of the network; the defaults are the published ones, whose feed-forward is one linear layer."""

    embed_dim: int = 2048
    attention_dim: int = 1024
    heads: int = 64
    depth: int = 2
    feed_forward: Literal["linear", "gelu"] = "linear"
    dropout: float = 0.0
    input_dropout: float = 0.0


class LocalAttention(nn.Module):
    """Multi-head attention from each spot to its k neighbours (itself among them), without positions."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        if config.attention_dim % config.heads:
            raise ValueError(
                f"{config.heads} heads do not divide an attention width of {config.attention_dim}"
            )
        self.heads = config.heads
        self.to_qkv = nn.Linear(config.embed_dim, 3 * config.attention_dim)
        self.to_out = nn.Linear(config.attention_dim, config.embed_dim, bias=False)

    def forward(self, qkv: Float[Tensor, "place three_dims"], blocks: Blocks) -> Float[Tensor, "place dim"]:
        """Attend; the rows of `qkv` are in the blocks' order."""
        mixed = attend(qkv.view(len(qkv), 3, self.heads, -1), blocks)  # (place, head, dim)
        out: Tensor = self.to_out(mixed.flatten(1))
        return out


class Block(nn.Module):
    """x + attention(LN x), then x + feed-forward(LN x)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.embed_dim)
        self.attention = LocalAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.embed_dim)
        self.feed_forward = _feed_forward(config)
        self.dropout = nn.Dropout(config.dropout)

    def qkv(self, x: Float[Tensor, "place dim"]) -> Float[Tensor, "place three_dims"]:
        """Query, key and value of each spot."""
        to_qkv = self.attention.to_qkv
        return norm_linear(self.attention_norm, to_qkv.weight, to_qkv.bias, x)

    def attended(
        self, x: Float[Tensor, "place dim"], qkv: Float[Tensor, "place three_dims"], blocks: Blocks
    ) -> Float[Tensor, "place dim"]:
        """Refine each spot with what its neighbours say."""
        out: Tensor = x + self.dropout(self.attention(qkv, blocks))
        return out

    def fed_forward(self, x: Float[Tensor, "place dim"]) -> Float[Tensor, "place dim"]:
        """Refine each spot by itself."""
        out: Tensor = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return out


class Network(nn.Module):
    """Tile features of a section in, one value per spot and gene out; no ReLU at the end.

    The architecture is the published MISO's: linear embedding, `depth` blocks of local attention, linear
    head.
    """

    def __init__(self, in_dim: int, n_genes: int, config: NetworkConfig) -> None:
        super().__init__()
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.embed = nn.Linear(in_dim, config.embed_dim)
        layers = [Block(config) for _ in range(config.depth)]
        self.blocks: Sequence[Block] = nn.ModuleList(layers)  # type: ignore[assignment]  # and a Module
        self.head = nn.Linear(config.embed_dim, n_genes)

    def forward(
        self, x: Float[Tensor, "spot dim"], near: Blocks | Int[Tensor, "spot k"]
    ) -> Float[Tensor, "spot gene"]:
        """Predict all spots of one section at once; lists of neighbours are put into blocks first."""
        blocks = near if isinstance(near, Blocks) else blocks_of(near)
        x, qkv = self._embedded(self.input_dropout(x[blocks.order]))
        *others, last = self.blocks
        for block, following in zip(others, self.blocks[1:], strict=True):
            x = block.fed_forward(block.attended(x, qkv, blocks))
            qkv = following.qkv(x)
        return self._headed(last.attended(x, qkv, blocks))[blocks.place]

    def _embedded(
        self, x: Float[Tensor, "place in"]
    ) -> tuple[Float[Tensor, "place dim"], Float[Tensor, "place three_dims"]]:
        """Embed, and take query, key and value of the first block: the quicker way round."""
        first = self.blocks[0]
        if self.embed.in_features < self.embed.out_features:
            return embedded_norm_linear(self.embed, first.attention_norm, first.attention.to_qkv, x)
        x = self.embed(x)
        return x, first.qkv(x)

    def _headed(self, x: Float[Tensor, "place dim"]) -> Float[Tensor, "place gene"]:
        """Do the last feed-forward and the head; where both are linear, they are one product."""
        last, head = self.blocks[-1], self.head
        feed = last.feed_forward
        if isinstance(feed, nn.Linear) and not last.dropout.p and head.out_features < feed.out_features:
            weight, bias = head.weight @ feed.weight, head.weight @ feed.bias
            out: Tensor = head(x) + norm_linear(last.feed_forward_norm, weight, bias, x)
            return out
        out = head(last.fed_forward(x))
        return out


def mean_over(
    networks: Sequence[Network], x: Float[Tensor, "spot dim"], neighbors: Int[Tensor, "spot k"]
) -> Float[Tensor, "spot gene"]:
    """Predict with networks of one shape, and take their mean.

    Without gradients a section of any size is done part by part, each with the spots that its own reach in as
    many steps as there are blocks, so that memory holds a part and the result.
    """
    if torch.is_grad_enabled() or len(x) <= AT_ONCE:
        blocks = blocks_of(neighbors)
        return torch.stack([network(x, blocks) for network in networks]).mean(0)
    out = x.new_empty(len(x), networks[0].head.out_features)
    for part in parts_with_surroundings(neighbors, AT_ONCE, steps=len(networks[0].blocks)):
        blocks, seen = blocks_of(part.neighbors), x[part.spots]
        own = torch.stack([network(seen, blocks)[: part.n_own] for network in networks]).mean(0)
        out[part.spots[: part.n_own]] = own
    return out


def _feed_forward(config: NetworkConfig) -> nn.Module:
    if config.feed_forward == "linear":
        return nn.Linear(config.embed_dim, config.embed_dim)
    hidden = 2 * config.embed_dim
    return nn.Sequential(
        nn.Linear(config.embed_dim, hidden),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(hidden, config.embed_dim),
    )
