"""What work needs at the very least: floating-point operations (2 a multiply-add) and bytes of device memory.

Only matrix products and attention are counted, and only bytes that have to move: weights, inputs and outputs
once, intermediate values never. Nothing that computes the same can beat both floors.
"""

from dataclasses import dataclass
from itertools import pairwise

from miso.encoders.vit import ViTConfig
from miso.models.attention import NetworkConfig
from miso.models.patch import PatchConfig

BACKWARD = 3
"""Forward once, and as much again for the gradients of inputs and of weights."""
ADAM_TOUCHES = 3 + 2 + 4
"""Weights read twice and written, gradients written and read, both moments read and written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Operations and bytes of a piece of work."""

    flop: float
    n_bytes: float

    def __add__(self, other: "Floor") -> "Floor":
        return Floor(flop=self.flop + other.flop, n_bytes=self.n_bytes + other.n_bytes)

    def __mul__(self, times: float) -> "Floor":
        return Floor(flop=self.flop * times, n_bytes=self.n_bytes * times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a device reached in a large product and a large copy."""

    flop_per_s: float
    bytes_per_s: float


def vit_floor(config: ViTConfig, tile_px: int, batch: int, weight_bytes: int) -> Floor:
    """Count a batch of square tiles: 8-bit pixels in, float32 tokens out, weights once a batch."""
    patches = (tile_px // config.patch_px) ** 2
    tokens, dim = patches + 1 + config.registers, config.dim
    first = patches * 3 * config.patch_px**2 * dim
    inner = config.mlp_dim * (3 if config.swiglu else 2)
    block = tokens * dim * (4 * dim + inner) + 2 * tokens**2 * dim
    weights = 3 * config.patch_px**2 * dim + config.depth * dim * (4 * dim + inner)
    moved = batch * (3 * tile_px**2 + 4 * tokens * dim) + weight_bytes * weights
    return Floor(flop=2.0 * batch * (first + config.depth * block), n_bytes=float(moved))


def network_flop(spots: int, dim: int, genes: int, config: NetworkConfig, k: int) -> float:
    """Count the local-attention network forward, with a linear feed-forward and k neighbours a spot."""
    wide, inner = config.embed_dim, config.attention_dim
    block = 4 * wide * inner + wide * wide + 2 * k * inner
    return 2.0 * spots * (dim * wide + config.depth * block + wide * genes)


def step_floor(spots: int, dim: int, genes: int, config: NetworkConfig, k: int, parameters: int) -> Floor:
    """Count a training step in float32: features read twice, goals once, neighbours as 8-byte lists."""
    moved = 4 * ADAM_TOUCHES * parameters + spots * (2 * 4 * dim + 4 * genes + 8 * k)
    return Floor(flop=BACKWARD * network_flop(spots, dim, genes, config, k), n_bytes=float(moved))


def student_floor(patches: int, dim: int, genes: int, config: PatchConfig) -> Floor:
    """Count a student on patch features: features in, genes out, both float32."""
    widths = [dim, *config.hidden, config.factors or genes]
    products = sum(before * after for before, after in pairwise(widths))
    if config.factors:
        products += dim * config.factors + config.factors * genes
    return Floor(flop=2.0 * patches * products, n_bytes=4.0 * (patches * (dim + genes) + products))


def against(floor: Floor, device: Device, seconds: float) -> dict[str, str | float]:
    """Set a time against both floors; `times_floor` is how many times the higher of them it takes."""
    flop_s, bytes_s = floor.flop / device.flop_per_s, floor.n_bytes / device.bytes_per_s
    return {
        "tflop": floor.flop / 1e12,
        "gb": floor.n_bytes / 1e9,
        "arithmetic_floor_s": flop_s,
        "bytes_floor_s": bytes_s,
        "bound": "arithmetic" if flop_s >= bytes_s else "bytes",
        "times_floor": seconds / max(flop_s, bytes_s),
    }
