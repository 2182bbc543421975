"""What turns windows into the cells of a map: encoded, predicted, blended where they overlap."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.encoders.encoder import Encoder
from miso.geometry import TileGrid
from miso.launch.memory import require
from miso.launch.progress import Track
from miso.maps.band import Band, Rows, Weights, WindowValues
from miso.maps.border import axes_of
from miso.maps.patch_predictor import PatchFeatures, PatchPredictor
from miso.maps.store import MapWriter
from miso.maps.tiles import Tiles, encode_tiles, reference_tiles
from miso.slides.slide import Slide
from miso.slides.tissue import TissueMask

Reference = TypeVar("Reference")
PLANES = 32
"""Planes that are finished at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter(Generic[Reference]):
    """What turns windows into cells.

    Attributes
    ----------
    tile_px
        Side of a training tile, in which novelty is measured.
    genes
        Those that are mapped.
    batch
        Windows that are encoded at a time.
    weights
        Of a window's cells where windows overlap.
    std
        Whether spread and novelty are mapped beside the genes.
    """

    encoder: Encoder
    model: PatchPredictor[Reference]
    tile_px: int
    genes: tuple[str, ...]
    batch: int
    weights: Weights
    std: bool

    def look_over(self, slide: Slide, grid: TileGrid, tissue: TissueMask, track: Track) -> PatchFeatures:
        """Encode windows spread over all tissue of a slide, whatever part of it is to be mapped."""
        tiles = reference_tiles(slide, grid, tissue)
        batches = encode_tiles(tiles, self.encoder, self.batch, track, "look over the slide")
        return np.concatenate([features for _, features in batches])

    def fill(self, writer: MapWriter, tiles: Tiles, reference: Reference, track: Track) -> None:
        """Write the rows that are not written yet, from all the windows that reach into them."""
        grid = tiles.grid
        first = tiles.index[:, 0]
        reach = (first + grid.side > writer.written) & (first < writer.rows[1])
        todo = replace(tiles, index=tiles.index[reach])
        if not len(todo.index):
            return
        n_planes = 2 * len(self.genes) + 1 if self.std else len(self.genes)
        width = grid.raster.shape[1]
        require(
            4 * n_planes * grid.side * width,
            f"a map of {len(self.genes)} genes, {width} cells wide,",
            " or ask for fewer genes" if len(self.genes) > 1 else "",
        )
        band = Band(n_planes, self.weights, axes_of(grid), width, top=int(todo.index[0, 0]))
        for (row, col), values in self._paint(todo, reference, track):
            if row > band.top:
                writer.put(band.top, self._finish(band.advance(row)))
            band.add(row, col, values)
        writer.put(band.top, self._finish(band.advance(band.top + grid.side)))

    def _paint(
        self, tiles: Tiles, reference: Reference, track: Track
    ) -> Iterator[tuple[tuple[int, int], WindowValues]]:
        """Yield the first cell of each window and what is averaged of it."""
        side = tiles.grid.patches.side
        for index, features in encode_tiles(tiles, self.encoder, self.batch, track, "super-resolve"):
            planes = self._planes(features, reference)
            for first, values in zip(index.tolist(), planes, strict=True):
                yield (first[0], first[1]), values.reshape(side, side, -1)

    def _planes(
        self, features: PatchFeatures, reference: Reference
    ) -> Float[NDArray[np.float32], "tile patch plane"]:
        """Genes, and for their spread their second moments, and novelty, of each patch."""
        if not self.std:
            return self.model.predict_patches(features, reference, self.genes)
        mean, variance = self.model.moments(features, reference, self.genes)
        novelty = self._novelty(features, reference)
        return np.concatenate([mean, variance + mean**2, novelty[..., None]], axis=-1)

    def _novelty(
        self, features: PatchFeatures, reference: Reference
    ) -> Float[NDArray[np.float32], "window patch"]:
        """Novelty of the training-sized tile that each patch of a window lies in."""
        n, side = len(features), round(features.shape[1] ** 0.5)
        part = self.tile_px // self.encoder.patch_px
        along = side // part
        split = features.reshape(n, along, part, along, part, -1).swapaxes(2, 3)  # (n, a, a, part, part, d)
        novelty = self.model.novelty(split.reshape(n * along**2, part**2, -1), reference)
        of_tiles = np.asarray(novelty, dtype=np.float32).reshape(n, along, along)
        return of_tiles.repeat(part, axis=1).repeat(part, axis=2).reshape(n, -1)

    def _finish(self, rows: Rows) -> list[Rows]:
        """Turn averages into what the map keeps."""
        if not self.std:
            return [rows]
        mean, second, novelty = np.split(rows, [len(self.genes), 2 * len(self.genes)])
        return [mean, np.sqrt(np.maximum(second - mean**2, 0)), novelty]
