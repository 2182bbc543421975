"""Tiles of a slide on their way through an encoder: read ahead in a thread, encoded in batches."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from miso.encoders.encoder import Encoder
from miso.errors import MapError
from miso.geometry import TileGrid
from miso.launch.ahead import read_ahead
from miso.launch.memory import affordable
from miso.launch.progress import Track
from miso.maps.border import mirrored
from miso.maps.patch_predictor import PatchFeatures
from miso.slides.slide import Slide
from miso.slides.tissue import TissueMask, tissue_tiles

Index = Int[NDArray[np.int64], "tile 2"]

READ_AHEAD = 3
"""Batches of tiles that are read while the encoder is busy."""
REFERENCE_TILES = 256
"""Most tiles that stand for the slide as a whole."""
REFERENCE_SHARE = 0.5
"""They are at least half tissue, as tiles about spots are, where the slide has such tiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Some tiles of a grid over a slide, by their first cells (row, column), from top to bottom."""

    slide: Slide
    grid: TileGrid
    index: Index

    def read(self, index: Index) -> UInt8[Tensor, "tile height width 3"]:
        """Read a few tiles, the slide mirrored where they reach off it."""
        return torch.from_numpy(np.stack([self._read(int(row), int(col)) for row, col in index]))

    def _read(self, row: int, col: int) -> UInt8[NDArray[np.uint8], "height width 3"]:
        grid, spec = self.grid, self.grid.patches.tile
        rows, columns = (
            mirrored(first * grid.cell_px + np.arange(spec.size_px), length)
            for first, length in zip((row, col), grid.slide_tile_px, strict=True)
        )
        top, left = int(rows.min()), int(columns.min())
        size_px = int(columns.max()) - left + 1, int(rows.max()) - top + 1
        scale = spec.mpp / grid.slide_mpp
        pixels = self.slide.read((left * scale, top * scale), size_px, spec.mpp)
        if size_px == (spec.size_px, spec.size_px):
            return pixels  # all of it on the slide
        return pixels[np.ix_(rows - top, columns - left)]


def encode_tiles(
    tiles: Tiles, encoder: Encoder, batch_size: int, track: Track, description: str
) -> Iterator[tuple[Index, PatchFeatures]]:
    """Yield first cells and patch features in batches, in order, on the CPU.

    Raises
    ------
    MapError
        If the encoder gives another number of patches than the tile spec says.
    """
    parts = list(batches_of(tiles.index, batch_size))
    ahead = affordable(READ_AHEAD, 3 * tiles.grid.patches.tile.size_px**2 * batch_size)
    batches = read_ahead(((part, tiles.read(part)) for part in parts), ahead)
    for part, pixels in track(batches, len(parts), description):
        features = encoder.encode(pixels).patches.cpu().numpy()
        if features.shape[1] != tiles.grid.patches.n_patches:
            raise MapError(
                f"encoder {encoder.id} gave {features.shape[1]} patches for a tile of "
                f"{tiles.grid.patches.tile.size_px} px, not {tiles.grid.patches.n_patches}"
            )
        yield part, features


def batches_of(index: Index, size: int) -> Iterator[Index]:
    """Cut tiles into batches of at most `size`, each of one row of tiles.

    What a tile comes to depends in its last bits on its batch, and a map may be gone on with from any row.
    """
    for row in np.split(index, np.flatnonzero(np.diff(index[:, 0])) + 1):
        yield from np.split(row, range(size, len(row), size))


def reference_tiles(slide: Slide, grid: TileGrid, tissue: TissueMask, limit: int = REFERENCE_TILES) -> Tiles:
    """Choose at most `limit` tiles that do not overlap, spread evenly over the tissue, always the same."""
    apart = replace(grid, stride_px=grid.patches.tile.size_px, shifts_px=((0, 0),))
    index = tissue_tiles(apart, tissue, REFERENCE_SHARE)
    if not len(index):
        index = tissue_tiles(apart, tissue)
    along_curve = index[np.argsort(_morton(index // apart.side))]
    few = np.linspace(0, len(index) - 1, min(limit, len(index))).round().astype(np.int64)
    return Tiles(slide=slide, grid=apart, index=along_curve[few])


def _morton(index: Index) -> Int[NDArray[np.int64], " tile"]:
    """Place of each (row, column) on Morton's curve, which fills the plane and keeps neighbours together."""
    code = np.zeros(len(index), dtype=np.int64)
    for bit in range(24):
        code |= ((index[:, 0] >> bit & 1) << 2 * bit + 1) | ((index[:, 1] >> bit & 1) << 2 * bit)
    return code
