"""A frozen image model with its input contract: 8-bit tiles in, one token a tile and one a patch out."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn


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
    """

    name: str
    revision: str
    module: nn.Module
    contract: InputContract
    patch_px: int
    tile_dim: int
    patch_dim: int
    licence: str

    @property
    def id(self) -> str:
        """Name and revision in one word."""
        return f"{self.name}@{self.revision}"

    @torch.inference_mode()
    def encode(self, tiles: UInt8[Tensor, "tile height width 3"]) -> Tokens:
        """Encode 8-bit tiles on the module's device; float32 tokens come back there.

        Runs in bfloat16 where the device has it natively and the module asks for it (`autocast = True`).
        """
        device = next((t.device for t in self.module.state_dict().values()), torch.device("cpu"))
        x = tiles.to(device).permute(0, 3, 1, 2).float() / 255  # (b, 3, H, W)
        mean, std = (
            torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (self.contract.mean, self.contract.std)
        )
        wants_bf16 = getattr(self.module, "autocast", False) and has_native_bf16(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=wants_bf16):
            cls, patches = self.module((x - mean) / std)
        return Tokens(cls.float(), patches.float())


def has_native_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic runs in the device's own units rather than being emulated."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
