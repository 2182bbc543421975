"""A network with what its tokens turned out to be, measured on a tile and not taken on trust; sizes in px."""

import math
from typing import NamedTuple

import torch
from torch import nn

from miso.encoders.encoder import Tokens
from miso.errors import EncoderError

NOT_UNDERSTOOD = (
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    AssertionError,
    LookupError,
    ArithmeticError,
)
"""What somebody else's code raises when it is given a configuration that makes no sense."""


class Built(NamedTuple):
    """A frozen module that gives `Tokens`, with a patch's side, lengths of features, prefix tokens."""

    module: nn.Module
    patch_px: int
    tile_dim: int
    patch_dim: int
    prefix_tokens: int


@torch.inference_mode()
def probe(module: nn.Module, size_px: int, name: str, prefix_tokens: int) -> Built:
    """Run a tile twice through a module that somebody else's code is in, and measure what comes out.

    Raises
    ------
    EncoderError
        If it gives no square of patch features, or not the same ones for the same tile.
    """
    tile = torch.randn(1, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))
    try:
        tokens: Tokens = module(tile.expand(2, -1, -1, -1))
    except NOT_UNDERSTOOD as err:
        why = " ".join(str(err).split())[:200]
        raise EncoderError(
            f"{name!r} gives no features of patches here ({type(err).__name__}: {why})"
        ) from err
    cls, patches = tokens
    side = math.isqrt(patches.shape[1])
    if patches.ndim != 3 or cls.ndim != 2 or side * side != patches.shape[1] or side < 2 or size_px % side:
        shapes = f"{tuple(cls.shape[1:])} and {tuple(patches.shape[1:])}"
        raise EncoderError(
            f"{name!r} gives features of shapes {shapes} for a tile; expected a square of patches"
        )
    if not torch.allclose(patches[0], patches[1], rtol=1e-3, atol=1e-4):
        raise EncoderError(f"{name!r} gives other features each time: it hides patches at random")
    return Built(module, size_px // side, cls.shape[1], patches.shape[2], prefix_tokens)
