"""A frozen image model with its input contract: 8-bit tiles in, one token a tile and one a patch out."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

Precision = Literal["auto", "fp32", "bf16", "int8"]
"""How an encoder computes; `auto` is bfloat16 where the device has it and the module asks for it."""


class Tokens(NamedTuple):
    """What an encoder says of a batch of tiles; patches are row-major."""

    cls: Float[Tensor, "tile tile_dim"]
    patches: Float[Tensor, "tile patch patch_dim"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputContract:
    """The images a module was trained on: side in px, and the mean and spread of channels scaled to 0–1."""

    size_px: int = 224
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def normalise(self, tiles: UInt8[Tensor, "tile height width 3"]) -> Float[Tensor, "tile 3 height width"]:
        """Scale 8-bit tiles to 0–1, and shift and scale their channels, where they are."""
        x = tiles.permute(0, 3, 1, 2).float().div_(255)
        if (self.mean, self.std) != ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
            x.sub_(_as_channels(self.mean, x.device)).div_(_as_channels(self.std, x.device))
        return x


@lru_cache(maxsize=32)
def _as_channels(values: tuple[float, ...], device: torch.device) -> Float[Tensor, "1 3 1 1"]:
    return torch.tensor(values, device=device).view(1, -1, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A named, frozen model.

    Attributes
    ----------
    name, revision
        What it is and which weights it has; both are kept in every Sample and Checkpoint.
    module
        Takes normalised (b, 3, H, W) float tiles and returns `Tokens`.
    contract
        How 8-bit tiles are normalised, and the side they should have.
    patch_px
        Side of a patch in tile pixels.
    tile_dim, patch_dim
        Lengths of the tile feature and of a patch feature.
    licence
        Terms of the weights, in a word.
    precision
        How it computes. Features of `int8` are other features, and `revision` says so; those of `bf16` and
        `fp32` are the same to a cosine of 0.999.
    """

    name: str
    revision: str
    module: nn.Module
    contract: InputContract
    patch_px: int
    tile_dim: int
    patch_dim: int
    licence: str
    precision: Precision = "auto"

    @property
    def device(self) -> torch.device:
        """Where the module's weights are; the CPU for one without any."""
        tensors = chain(self.module.parameters(), self.module.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def takes_any_size(self) -> bool:
        """Whether it takes tiles of any whole number of patches (`any_size = True` on the module)."""
        return bool(getattr(self.module, "any_size", False))

    @property
    def arithmetic(self) -> Precision:
        """What `precision` comes to on the module's device."""
        if self.precision != "auto":
            return self.precision
        wants_bf16 = getattr(self.module, "autocast", False)
        return "bf16" if wants_bf16 and has_native_bf16(self.device) else "fp32"

    @property
    def id(self) -> str:
        """Name and revision in one word."""
        return f"{self.name}@{self.revision}"

    @torch.inference_mode()
    def encode(self, tiles: UInt8[Tensor, "tile height width 3"]) -> Tokens:
        """Encode 8-bit tiles on the module's device; float32 tokens come back there.

        Runs in bfloat16 where the device has it natively, the module asks for it (`autocast = True`), and the
        precision lets it. On a GPU this returns before the work is done.
        """
        device = self.device
        x = self.contract.normalise(tiles.to(device, non_blocking=True))  # (b, 3, H, W)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.arithmetic == "bf16"):
            cls, patches = self.module(x)
        return Tokens(cls.float(), patches.float())


def has_native_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic runs in the device's own units rather than being emulated."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
