"""The Vision Transformer behind every pretrained encoder here: normalised tiles in, sizes in pixels.

One plain-torch model covers ViT (Dosovitskiy et al., 2021), DINOv2 (Oquab et al., 2023) with or without
registers (Darcet et al., 2023), and the pathology models built on them; `vit_weights` says which is which.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from miso.encoders.encoder import Tokens
from miso.errors import EncoderError


@dataclass(frozen=True, slots=True, kw_only=True)
class ViTConfig:
    """Sizes and switches of a Vision Transformer.

    Attributes
    ----------
    patch_px, grid
        Side of a patch in pixels, and of the learned square of positions in patches.
    dim, depth, heads, mlp_dim
        Width, number of blocks, attention heads, and width inside the feed-forward (after its gate, if any).
    registers
        Tokens beside the cls token that stand for no place.
    prefix_positions
        How many of the leading tokens (cls, then registers) have a learned position.
    eps
        Of every LayerNorm.
    layer_scale, swiglu, qkv_bias
        Scaled residual branches; a gated SiLU feed-forward in place of GELU; biases on query, key and value.
    antialias
        Whether positions are low-pass filtered when interpolated to a smaller grid.
    """

    patch_px: int
    grid: int
    dim: int
    depth: int
    heads: int
    mlp_dim: int
    registers: int = 0
    prefix_positions: int = 1
    eps: float = 1e-6
    layer_scale: bool = False
    swiglu: bool = False
    qkv_bias: bool = True
    antialias: bool = False


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection for query, key and value."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=config.qkv_bias)
        self.out = nn.Linear(config.dim, config.dim)

    def forward(self, x: Float[Tensor, "tile token dim"]) -> Float[Tensor, "tile token dim"]:
        """Let every token look at every other."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (b, n, 3, h, d/h)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (b, h, n, d/h)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]  # (b, n, d)


class FeedForward(nn.Module):
    """Two linear layers with GELU, or with a SiLU gate (the first half of `fc1`) between them."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.swiglu = config.swiglu
        self.fc1 = nn.Linear(config.dim, config.mlp_dim * (2 if config.swiglu else 1))
        self.fc2 = nn.Linear(config.mlp_dim, config.dim)

    def forward(self, x: Float[Tensor, "tile token dim"]) -> Float[Tensor, "tile token dim"]:
        """Transform every token by itself."""
        x = self.fc1(x)
        if self.swiglu:
            gate, x = x.chunk(2, dim=-1)
            return self.fc2(F.silu(gate) * x)  # type: ignore[no-any-return]
        return self.fc2(F.gelu(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention, then feed-forward, each on normalised tokens and added back, scaled if so configured."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, eps=config.eps)
        self.attention = Attention(config)
        self.norm2 = nn.LayerNorm(config.dim, eps=config.eps)
        self.mlp = FeedForward(config)
        self.scale1 = nn.Parameter(torch.ones(config.dim)) if config.layer_scale else None
        self.scale2 = nn.Parameter(torch.ones(config.dim)) if config.layer_scale else None

    def forward(self, x: Float[Tensor, "tile token dim"]) -> Float[Tensor, "tile token dim"]:
        """Refine the tokens."""
        mixed: Tensor = self.attention(self.norm1(x))
        x = x + (mixed if self.scale1 is None else mixed * self.scale1)
        mixed = self.mlp(self.norm2(x))
        return x + (mixed if self.scale2 is None else mixed * self.scale2)


class ViT(nn.Module):
    """A Vision Transformer without a head; its features survive bfloat16, so it asks for autocast."""

    autocast = True
    any_size = True

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config, dim = config, config.dim
        self.patch_embed = nn.Conv2d(3, dim, config.patch_px, stride=config.patch_px)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.registers = nn.Parameter(torch.zeros(1, config.registers, dim)) if config.registers else None
        self.positions = nn.Parameter(torch.zeros(1, config.prefix_positions + config.grid**2, dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(dim, eps=config.eps)

    def forward(self, x: Float[Tensor, "tile 3 height width"]) -> Tokens:
        """Encode normalised tiles; patches come row by row, the cls token after the final norm.

        Raises
        ------
        EncoderError
            If the tiles are not a whole number of patches high and wide.
        """
        if x.shape[2] % self.config.patch_px or x.shape[3] % self.config.patch_px:
            side = self.config.patch_px
            raise EncoderError(
                f"a tile of {x.shape[3]} × {x.shape[2]} px is not whole patches of {side} px; change its size"
            )
        patches = self.patch_embed(x)  # (b, d, h, w)
        at_prefix, at_patches = self.positions_for(patches.shape[2], patches.shape[3])
        prefix = (
            self.cls_token if self.registers is None else torch.cat([self.cls_token, self.registers], dim=1)
        )
        prefix = prefix + F.pad(at_prefix, (0, 0, 0, prefix.shape[1] - at_prefix.shape[1]))  # (1, 1 + r, d)
        patches = patches.flatten(2).transpose(1, 2) + at_patches  # (b, h·w, d)
        tokens = torch.cat([prefix.expand(x.shape[0], -1, -1), patches], dim=1)  # (b, 1 + r + h·w, d)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return Tokens(tokens[:, 0], tokens[:, prefix.shape[1] :])

    def positions_for(self, rows: int, cols: int) -> tuple[Tensor, Tensor]:
        """Positions of prefix (1, p, d) and patches (1, rows · cols, d), interpolated to another grid."""
        split, grid = self.config.prefix_positions, self.config.grid
        at_prefix, at_patches = self.positions[:, :split], self.positions[:, split:]
        if (rows, cols) != (grid, grid):
            square = at_patches.reshape(1, grid, grid, -1).permute(0, 3, 1, 2).float()  # (1, d, grid, grid)
            square = F.interpolate(square, size=(rows, cols), mode="bicubic", antialias=self.config.antialias)
            at_patches = square.flatten(2).transpose(1, 2).to(at_patches.dtype)  # (1, rows · cols, d)
        return at_prefix, at_patches
