"""What every encoder promises, as checks that a plug-in's tests can call; sizes in px.

In a test of another package:

>>> @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
... def test_my_encoder_keeps_the_contract(check):
...     check(load_encoder("my-vit"))
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from miso.encoders.encoder import Encoder, Tokens

BF16_COSINE = 0.999
"""Least cosine between features in bfloat16 and in float32."""
ALONE = 1e-3
"""Largest difference between a tile's features alone and in a batch in float32, relative to their length."""


def check_encoder(encoder: Encoder) -> None:
    """Hold an encoder to all of the contract.

    Raises
    ------
    AssertionError
        If it breaks a promise; the message says which.
    """
    for check in CHECKS:
        check(encoder)


def check_shapes(encoder: Encoder) -> None:
    """Find finite float32 features of the stated lengths, a square of patches a tile, on plain tiles too."""
    side = patches_along(encoder)
    for tiles in (sample_tiles(encoder, 3), plain(encoder, 0), plain(encoder, 255)):
        cls, patches = encoder.encode(tiles)
        wanted = (len(tiles), encoder.tile_dim), (len(tiles), side * side, encoder.patch_dim)
        shapes = tuple(cls.shape), tuple(patches.shape)
        _demand(shapes == wanted, f"shapes {wanted}", shapes)
        _demand(cls.dtype == patches.dtype == torch.float32, "float32 features", (cls.dtype, patches.dtype))
        finite = bool(torch.isfinite(cls).all() and torch.isfinite(patches).all())
        _demand(finite, "finite features", "NaN or infinity")


def check_frozen(encoder: Encoder) -> None:
    """Find the module in evaluation mode, and nothing in it that learns."""
    _demand(not encoder.module.training, "a module in evaluation mode", "training mode")
    learning = [name for name, parameter in encoder.module.named_parameters() if parameter.requires_grad]
    _demand(not learning, "frozen parameters", f"{len(learning)} that learn")


def check_deterministic(encoder: Encoder) -> None:
    """Find the same features for the same tiles, bit for bit, whatever was encoded in between."""
    tiles = sample_tiles(encoder, 2)
    first = encoder.encode(tiles)
    encoder.encode(plain(encoder, 128))
    again = encoder.encode(tiles)
    same = torch.equal(first.cls, again.cls) and torch.equal(first.patches, again.patches)
    _demand(same, "the same features for the same tiles", "others")


def check_batch_invariant(encoder: Encoder) -> None:
    """Find the same features for a tile alone, in a batch, and in another place of the batch."""
    tiles = sample_tiles(encoder, 2)
    one, two = exact(encoder, tiles[:1]), exact(encoder, tiles[1:])
    alone = Tokens(torch.cat([one.cls, two.cls]), torch.cat([one.patches, two.patches]))
    turned = exact(encoder, tiles.flip(0))
    for batch in (exact(encoder, tiles), Tokens(turned.cls.flip(0), turned.patches.flip(0))):
        apart = largest_difference(alone, batch)
        _demand(apart <= ALONE, f"features within {ALONE:g} of those of a tile alone", f"{apart:.2g}")


def check_tiles_differ(encoder: Encoder) -> None:
    """Find other features for other tiles."""
    cls, patches = exact(encoder, sample_tiles(encoder, 2))
    apart = bool((cls[0] - cls[1]).norm() > 0 and (patches[0] - patches[1]).norm() > 0)
    _demand(apart, "other features for another tile", "the same")


def check_row_major(encoder: Encoder) -> None:
    """Find patches row by row: the patch that is lit on a tile changes its own feature more than others."""
    side = patches_along(encoder)
    places = [(0, side - 1), (side - 1, 0), (side // 2, side // 4), (side // 4, side // 2), (0, side // 3)]
    for lit, found in zip(places, brightest(encoder, places), strict=True):
        _demand(lit == found, f"the patch in (row, column) {lit} to change most when lit", f"that in {found}")


def check_bf16(encoder: Encoder) -> None:
    """Find a cosine ≥ 0.999 of bfloat16 with float32 features, where the module asks for bfloat16."""
    if not getattr(encoder.module, "autocast", False):
        return
    tiles = sample_tiles(encoder, 1)
    low = least_cosine(exact(encoder, tiles), exact(encoder, tiles, bf16=True))
    _demand(low >= BF16_COSINE, f"cosine ≥ {BF16_COSINE} of bfloat16 with float32", f"{low:.5f}")


CHECKS: tuple[Callable[[Encoder], None], ...] = (
    check_shapes,
    check_frozen,
    check_deterministic,
    check_batch_invariant,
    check_tiles_differ,
    check_row_major,
    check_bf16,
)
"""Every promise, for a parametrised test."""


def patches_along(encoder: Encoder) -> int:
    """Patches along a side of the tile that the encoder was trained on."""
    size_px, patch_px = encoder.contract.size_px, encoder.patch_px
    _demand(size_px % patch_px == 0, f"whole patches of {patch_px} px", f"a tile of {size_px} px")
    return size_px // patch_px


def sample_tiles(encoder: Encoder, count: int, seed: int = 0) -> UInt8[Tensor, "tile size size 3"]:
    """Make tiles of smooth blobs with grain, in the colours of a stained section."""
    size_px, random = encoder.contract.size_px, torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 9, 9, generator=random)
    amount = F.interpolate(coarse, size=(size_px, size_px), mode="bicubic").clamp(0, 1)
    grain = 0.06 * torch.randn(count, 3, size_px, size_px, generator=random)
    pale, dark = (torch.tensor(c).view(1, 3, 1, 1) for c in ((0.93, 0.80, 0.90), (0.45, 0.30, 0.60)))
    rgb = (pale + amount * (dark - pale) + grain).clamp(0, 1)
    return (255 * rgb).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def plain(encoder: Encoder, level: int) -> UInt8[Tensor, "1 size size 3"]:
    """Make a tile of one grey level."""
    size_px = encoder.contract.size_px
    return torch.full((1, size_px, size_px, 3), level, dtype=torch.uint8)


def brightest(encoder: Encoder, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(row, column) of the patch feature that changes most when the patch in each of the places is lit."""
    side = patches_along(encoder)
    return [divmod(int(moved.argmax()), side) for moved in response(encoder, places)]


def response(encoder: Encoder, places: list[tuple[int, int]]) -> Float[Tensor, "place patch"]:
    """Light the patch at each (row, column); how far each feature moves, relative to its length."""
    px = encoder.patch_px
    tile = sample_tiles(encoder, 1, seed=1)
    lit = tile.repeat(len(places), 1, 1, 1)
    for index, (row, col) in enumerate(places):
        patch = lit[index, px * row : px * row + px, px * col : px * col + px]
        patch.copy_(torch.where(patch.float().mean() > 128, 0, 255))
    before = exact(encoder, tile).patches
    after = torch.cat([exact(encoder, one[None]).patches for one in lit])
    moved: Tensor = (after - before).norm(dim=-1) / before.norm(dim=-1).clamp(min=1e-6)
    return moved


def exact(encoder: Encoder, tiles: UInt8[Tensor, "tile size size 3"], *, bf16: bool = False) -> Tokens:
    """Encode in float32, whatever the device prefers, or in bfloat16."""
    return replace(encoder, precision="bf16" if bf16 else "fp32").encode(tiles)


def least_cosine(one: Tokens, other: Tokens) -> float:
    """Return the lowest cosine between features of the same tile or patch; 1 where both are zero."""
    low = math.inf
    for a, b in zip(one, other, strict=True):
        both_zero = (a.norm(dim=-1) < 1e-6) & (b.norm(dim=-1) < 1e-6)
        cosine = torch.cosine_similarity(a, b, dim=-1)
        low = min(low, float(torch.where(both_zero, 1.0, cosine).min()))
    return low


def largest_difference(one: Tokens, other: Tokens) -> float:
    """Return the largest distance between features of the same tile or patch, relative to their length."""
    return max(
        float(((a - b).norm(dim=-1) / a.norm(dim=-1).clamp(min=1e-6)).max())
        for a, b in zip(one, other, strict=True)
    )


def _demand(kept: bool, promised: str, found: object) -> None:
    if not kept:
        raise AssertionError(f"expected {promised}, found {found}")
