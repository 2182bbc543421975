"""Our ViT with the tile feature that a model's authors recommend in place of the cls token alone."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from miso.encoders.encoder import Tokens
from miso.encoders.vit import ViT
from miso.encoders.weight_files import listed
from miso.errors import EncoderError


class ClsAndMean(nn.Module):
    """The cls token and the mean of the patches side by side, as Virchow2's authors recommend."""

    autocast = True
    any_size = True

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, x: Float[Tensor, "tile 3 height width"]) -> Tokens:
        """Encode normalised tiles."""
        cls, patches = self.vit(x)
        return Tokens(torch.cat([cls.float(), patches.float().mean(1)], dim=1), patches)


class AttentionPooled(nn.Module):
    """What one learned query finds among all the tokens, as in CONCH (Lu et al., Nat. Med. 2024).

    The tile feature is its image embedding before the contrastive projection, which its authors recommend
    for what is not retrieval by text.
    """

    autocast = True
    any_size = True

    def __init__(self, vit: ViT, dim: int, heads: int) -> None:
        super().__init__()
        context = vit.config.dim
        self.vit = vit
        self.query = nn.Parameter(torch.zeros(1, dim))
        self.ln_q, self.ln_k = nn.LayerNorm(dim), nn.LayerNorm(context)
        self.attn = nn.MultiheadAttention(dim, heads, kdim=context, vdim=context, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Float[Tensor, "tile 3 height width"]) -> Tokens:
        """Encode normalised tiles."""
        cls, patches = self.vit(x)
        tokens = self.ln_k(torch.cat([cls[:, None], patches], dim=1))  # (b, 1 + P, d)
        query = self.ln_q(self.query).expand(x.shape[0], 1, -1)  # (b, 1, dim)
        pooled, _ = self.attn(query, tokens, tokens, need_weights=False)
        return Tokens(self.norm(pooled[:, 0]), patches)


CONCH_HEADS = 8
CONCH_POOL, CONCH_NORM = "visual.attn_pool_contrast.", "visual.ln_contrast."


def attention_pooled(vit: ViT, weights: Mapping[str, Tensor]) -> AttentionPooled:
    """Put CONCH's pooling on its ViT, with the tensors of the whole model.

    Raises
    ------
    EncoderError
        If they are not there or have other shapes.
    """
    pool = {k.removeprefix(CONCH_POOL): v.float() for k, v in weights.items() if k.startswith(CONCH_POOL)}
    norm = {k.removeprefix(CONCH_NORM): v.float() for k, v in weights.items() if k.startswith(CONCH_NORM)}
    ours = pool | {f"norm.{key}": value for key, value in norm.items()}
    if "query" not in ours:
        raise EncoderError(f"no tensors like {CONCH_POOL}query; is this CONCH?")
    pooled = AttentionPooled(vit, ours["query"].shape[-1], CONCH_HEADS)
    expected = {k: v.shape for k, v in pooled.state_dict().items() if not k.startswith("vit.")}
    if wrong := sorted(
        k for k in expected.keys() | ours if k not in ours or ours[k].shape != expected.get(k)
    ):
        raise EncoderError(f"CONCH's pooling lacks or has other tensors: {listed(wrong)}; is this CONCH?")
    pooled.load_state_dict(ours, strict=False)
    return pooled.eval().requires_grad_(False)
