"""The embedded, weight-free encoder: stain amounts and texture of each 16 px (8 µm) patch, and of the tile.

Optical densities are separated into haematoxylin, eosin and a residual with the fixed matrix of Ruifrok and
Johnston (Anal. Quant. Cytol. Histol. 2001). A patch is described by the distribution of each stain, by
gradients, and by a small bank of difference-of-Gaussian filters; a part of that is repeated for the patch's
surroundings. The tile feature is the mean, the spread and the centre-weighted mean of its patches.
"""

from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from miso.encoders.encoder import Encoder, InputContract, Tokens
from miso.encoders.registry import encoders
from miso.errors import EncoderError

PATCH_PX = 16
HAEMATOXYLIN = (0.650, 0.704, 0.286)
EOSIN = (0.072, 0.990, 0.105)
BLUR_SIGMAS_PX = (1.0, 2.0, 4.0)
NUCLEAR_OD = (0.15, 0.30, 0.50, 0.75)
"""Haematoxylin densities beyond which the share of pixels is taken: from pale cytoplasm to dense nuclei."""
CONTEXT_SIGMAS = (1.0, 2.5)
"""Reach of the surroundings' part, in patches (8 µm and 20 µm)."""
N_CONTEXT = 10
"""How many of the leading patch features are repeated for the surroundings."""
BLOCK_PX = 32
"""Pixels that are blurred by one product of matrices."""


@encoders.register("stain")
def load_stain(rest: str) -> Encoder:
    """Make the `stain` encoder; it takes no arguments and has no weights to load."""
    if rest:
        raise EncoderError(f"the encoder 'stain' takes no argument, but got {rest!r}")
    module = StainModule()
    return Encoder(
        name="stain",
        revision="1",
        module=module,
        contract=InputContract(),
        patch_px=PATCH_PX,
        tile_dim=3 * module.patch_dim,
        patch_dim=module.patch_dim,
        licence="Apache-2.0",
    )


class StainModule(nn.Module):
    """RGB tiles scaled to 0–1 in, stain and texture statistics out; nothing is learnt."""

    any_size = True

    def __init__(self) -> None:
        super().__init__()
        self.unmix: Tensor
        self.register_buffer("unmix", _unmixing_matrix())
        self.patch_dim = self.describe(torch.zeros(1, 3, 2 * PATCH_PX, 2 * PATCH_PX)).shape[1]

    def forward(self, rgb: Float[Tensor, "tile 3 height width"]) -> Tokens:
        """Describe tiles; sides are multiples of 16 px. On a CPU it takes one at a time, to stay in cache."""
        at_a_time = 1 if rgb.device.type == "cpu" else max(len(rgb), 1)
        features = torch.cat(
            [self.describe(part) for part in torch.split(rgb, at_a_time)]
        )  # (b, d, rows, cols)
        patches = features.flatten(2).transpose(1, 2)  # (b, P, d)
        weight = centre_weights(*features.shape[2:]).to(patches)
        mean = patches.mean(1)
        spread = patches.std(1, correction=min(1, patches.shape[1] - 1))  # a lone patch has none
        centre = torch.einsum("bpd,p->bd", patches, weight)
        return Tokens(torch.cat([mean, spread, centre], dim=1), patches)

    def describe(self, rgb: Float[Tensor, "tile 3 height width"]) -> Float[Tensor, "tile dim row col"]:
        """Patch features as an image with one pixel a patch.

        Inside, images are (height, tile, channel, width): a blur along either axis is then one plain product.
        """
        height, width = rgb.shape[2:]
        optical = rgb.permute(2, 0, 1, 3).clamp(min=1 / 255).log10_().contiguous()  # −density
        stains = -(self.unmix.T @ optical.view(-1, 3, width)).view(height, -1, 3, width)
        own = torch.cat([*self._colour(stains), *self._texture(stains)], dim=2)  # (row, b, d, col)
        own = own.permute(1, 2, 0, 3).contiguous()  # (b, d, row, col)
        return torch.cat([own, *self._surroundings(own[:, :N_CONTEXT])], dim=1)

    def _colour(self, stains: Tensor) -> list[Tensor]:
        """Mean and spread of each stain, share of pixels above steps of haematoxylin, skewness."""
        mean = pool(stains)
        powers = stains * stains
        second, third = pool(powers), pool(powers.mul_(stains))
        spread = ((second - mean**2).clamp(min=0) + 1e-6).sqrt()
        steps = torch.tensor(NUCLEAR_OD).to(stains).view(-1, 1)
        nuclear = (stains[:, :, :1] - steps).div_(0.05).sigmoid_()  # (height, b, step, width)
        skewness = (third - 3 * mean * second + 2 * mean**3) / (spread**3 + 1e-3)
        return [mean, spread, pool(nuclear), skewness]

    def _texture(self, stains: Tensor) -> list[Tensor]:
        """Edge strength and its anisotropy, and the energy and the dark part of three bands a stain."""
        blurred = [stains, *(blur_lines(stains, sigma) for sigma in BLUR_SIGMAS_PX)]
        bands = [fine - coarse for fine, coarse in pairwise(blurred)]
        blobs = [pool(band[:, :, :2].relu()) for band in bands[1:]]
        energy = [pool(band.abs_()) for band in bands]
        dx, dy = gradients(blurred[1])
        xy = pool(dx * dy)
        xx, yy = pool(dx.square_()), pool(dy.square_())
        strength = xx + yy
        coherence = ((xx - yy) ** 2 + 4 * xy**2).sqrt() / (strength + 1e-4)
        return [*energy, *blobs, (strength + 1e-8).sqrt(), coherence[:, :, :2]]

    def _surroundings(self, own: Tensor) -> list[Tensor]:
        """Gaussian means over neighbouring patches, inside the tile."""
        return [blur(own, sigma, mirrored=False) for sigma in CONTEXT_SIGMAS]


def _unmixing_matrix() -> Float[Tensor, "3 3"]:
    vectors = torch.tensor([HAEMATOXYLIN, EOSIN])
    vectors = F.normalize(vectors, dim=1)
    residual = F.normalize(torch.linalg.cross(vectors[0], vectors[1]), dim=0)
    inverse: Tensor = torch.linalg.inv(torch.stack([*vectors, residual]))
    return inverse


@lru_cache(maxsize=32)
def blur_matrix(size: int, sigma: float, *, mirrored: bool) -> Float[Tensor, "size size"]:
    """Return the matrix that blurs a line of samples with a Gaussian cut at 3 σ; its rows sum to 1.

    Beyond the ends the line is mirrored, or else left out and the rest weighted up. On a tile a product with
    this matrix is faster than a convolution.
    """
    at = torch.arange(size)
    reach = int(3 * sigma + 0.5)
    matrix = torch.zeros(size, size)
    for shift in range(-reach, reach + 1):
        source = at + shift
        inside = (source >= 0) & (source < size)
        if mirrored:
            source, inside = _mirror(source, size), torch.ones_like(inside)
        weight = torch.exp(torch.tensor(-0.5 * (shift / sigma) ** 2))
        matrix.index_put_((at[inside], source[inside]), weight.expand(int(inside.sum())), accumulate=True)
    return matrix / matrix.sum(1, keepdim=True)


def _mirror(index: Tensor, size: int) -> Tensor:
    wrapped = index % (2 * size)
    return torch.where(wrapped < size, wrapped, 2 * size - 1 - wrapped)


def blur(image: Float[Tensor, "b c h w"], sigma: float, *, mirrored: bool = True) -> Float[Tensor, "b c h w"]:
    """Blur each channel of an image with a Gaussian of `sigma` pixels."""
    down = blur_matrix(image.shape[2], sigma, mirrored=mirrored).to(image)
    along = blur_matrix(image.shape[3], sigma, mirrored=mirrored).to(image)
    blurred: Tensor = down @ (image @ along.T)
    return blurred


def blur_lines(image: Float[Tensor, "h b c w"], sigma: float) -> Float[Tensor, "h b c w"]:
    """Blur as `blur` does, the border mirrored, in blocks of the matrix: far from its diagonal it is 0."""
    height, _, _, width = image.shape
    rows, lines = image.flatten(1), torch.empty_like(image).flatten(1)  # (h, b·c·w)
    for at, reach, block in blur_blocks(height, sigma):
        torch.mm(block.to(image), rows[reach], out=lines[at])
    lines, blurred = lines.view(-1, width), torch.empty_like(image).view(-1, width)  # (h·b·c, w)
    for at, reach, block in blur_blocks(width, sigma):
        torch.mm(lines[:, reach], block.T.to(image), out=blurred[:, at])
    return blurred.view(image.shape)


@lru_cache(maxsize=32)
def blur_blocks(size: int, sigma: float) -> list[tuple[slice, slice, Float[Tensor, "to from"]]]:
    """Cut `blur_matrix` into blocks of rows: which samples each makes, from which, and with what weights."""
    matrix, reach = blur_matrix(size, sigma, mirrored=True), int(3 * sigma + 0.5)
    blocks = []
    for start in range(0, size, BLOCK_PX):
        to = slice(start, min(start + BLOCK_PX, size))
        source = slice(max(start - reach, 0), min(to.stop + reach, size))
        blocks.append((to, source, matrix[to, source].contiguous()))
    return blocks


def gradients(image: Float[Tensor, "h b c w"]) -> tuple[Tensor, Tensor]:
    """Central differences along x and y, the border repeated."""
    dx, dy = torch.empty_like(image), torch.empty_like(image)
    torch.sub(image[..., 2:], image[..., :-2], out=dx[..., 1:-1])
    torch.sub(image[..., 1], image[..., 0], out=dx[..., 0])
    torch.sub(image[..., -1], image[..., -2], out=dx[..., -1])
    torch.sub(image[2:], image[:-2], out=dy[1:-1])
    torch.sub(image[1], image[0], out=dy[0])
    torch.sub(image[-1], image[-2], out=dy[-1])
    return dx.mul_(0.5), dy.mul_(0.5)


def pool(image: Float[Tensor, "h b c w"]) -> Float[Tensor, "row b c col"]:
    """Mean of each patch."""
    height, tiles, channels, width = image.shape
    rows = image.view(height // PATCH_PX, PATCH_PX, -1).sum(1)  # (row, b·c·w)
    return rows.view(-1, tiles, channels, width // PATCH_PX, PATCH_PX).sum(-1) / PATCH_PX**2


def centre_weights(rows: int, cols: int) -> Float[Tensor, " patch"]:
    """Gaussian weights about the tile's centre, σ a fifth of its side, summing to 1; row-major."""
    y = (torch.arange(rows) + 0.5) / rows - 0.5
    x = (torch.arange(cols) + 0.5) / cols - 0.5
    weight = torch.exp(-0.5 * (y[:, None] ** 2 + x[None, :] ** 2) / 0.2**2).flatten()
    return weight / weight.sum()
