"""A slide, an encoder and a patch model make a map: windows over all tissue, blended where they overlap."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.encoders.encoder import Encoder
from miso.errors import MapError
from miso.geometry import TileGrid, TileSpec
from miso.launch.progress import Track, silent
from miso.launch.provenance import stamp
from miso.maps.band import Band, Rows, Weights, WindowValues
from miso.maps.expression_map import ExpressionMap, open_map
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.patch_predictor import PatchFeatures, PatchPredictor
from miso.maps.seams import Seams, blending, lay_windows
from miso.maps.store import MapWriter, existing_map, new_map
from miso.maps.thumbnail import Thumbnail
from miso.maps.tiles import Tiles, encode_tiles, reference_tiles
from miso.registry import unknown
from miso.slides.slide import Slide
from miso.slides.tissue import TissueMask, tissue_mask, tissue_tiles, whole_slide

Reference = TypeVar("Reference")
Tissue = Literal["detect", "all"]

log = logging.getLogger(__name__)


def super_resolve(
    slide: Slide,
    encoder: Encoder,
    model: PatchPredictor[Reference],
    out: Path | str,
    *,
    tile: TileSpec = TileSpec(),  # noqa: B008  frozen
    seams: Seams | None = None,
    stride_px: int | None = None,
    passes: int | None = None,
    genes: Sequence[str] | None = None,
    batch_size: int = 16,
    tissue: Tissue | TissueMask = "detect",
    std: bool = True,
    provenance: Mapping[str, Any] | None = None,
    track: Track = silent,
) -> ExpressionMap:
    """Map a slide at the resolution of the encoder's patches, or of half of them.

    Every window that holds tissue is read, encoded and predicted; a cell that several windows see is their
    mean, weighted towards the middle of each (`seams.blending`), so that none shows its border. Memory holds
    one row of windows and one row of chunks of the requested genes, however tall the slide is. Killed and
    begun again, it goes on where it was, and comes to the same bits.

    Parameters
    ----------
    out
        The Zarr folder to make. It grows under another name and is renamed when it is finished. Where the
        same map is already, it is returned as it is.
    tile
        What the encoder was shown in training: 224 px at 0.5 µm/px unless said otherwise.
    seams, stride_px, passes
        How windows meet, how far apart overlapping ones lie, and how often the slide is gone over; see
        `seams.lay_windows`.
    genes
        Those to map, in this order; None for all of the model's.
    batch_size
        Tiles that are encoded at a time; a wide window counts as the tiles that it holds.
    tissue
        "detect" encodes only windows with tissue and leaves cells off the tissue NaN, so that glass stays
        empty; "all" maps every cell; a mask, such as `regions.region_mask`, those inside it.
    std
        Whether the spread over models and over windows is kept beside each gene, and how novel each tile is.
    provenance
        What else the map should say of its making (checkpoint, training cohort …), as plain JSON.
    track
        Shows progress; it is called as `track(iterable, total, description)`.

    Raises
    ------
    MapError
        If a gene is unknown, the stride does not fit, there is no tissue, or `out` is something else.
    """
    if batch_size < 1:
        raise MapError(f"batch size {batch_size}: at least one tile has to be encoded at a time")
    windows = lay_windows(encoder, tile, seams, stride_px, passes)
    out, grid = Path(out), windows.grid(slide, encoder.patch_px)
    header = MapHeader(
        genes=_choose(model, genes),
        units=model.units,
        pitch_um=grid.cell_um,
        raster=grid.raster,
        slide=SlideRecord.of(slide),
        provenance={
            **(provenance or {}),
            "encoder": encoder.id,
            "tile": asdict(tile),
            **windows.described(encoder.patch_px),
            "tissue": tissue if isinstance(tissue, str) else tissue.fingerprint,
            **stamp(),
        },
        has_std=std,
        has_novelty=std,
    )
    if (made := existing_map(out, header)) is not None:
        log.info("%s is there already and was made the same way: skipped", out)
        return made
    found = tissue_mask(slide)
    mask = found if tissue == "detect" else whole_slide(slide) if tissue == "all" else tissue
    tiles = Tiles(slide=slide, grid=grid, index=tissue_tiles(grid, mask))
    if not len(tiles.index):
        raise MapError(f"no tissue found in {slide.path.name!r}; pass --tissue all to map the whole slide")
    painter = Painter(
        encoder=encoder,
        model=model,
        tile_px=tile.size_px,
        genes=header.genes,
        batch=max(batch_size * tile.size_px**2 // windows.spec.size_px**2, 1),
        weights=blending(grid.side, windows.fade_px / grid.cell_px, windows.fade_power),
        std=std,
    )
    reference = painter.look_over(slide, grid, found if found.mask.any() else mask, track)
    header = _vouched(header, model, reference)
    with new_map(out, header, Thumbnail.of(slide), keep=mask.cells(grid.raster)) as writer:
        painter.fill(writer, tiles, reference, track)
    return open_map(out)


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

    def look_over(self, slide: Slide, grid: TileGrid, tissue: TissueMask, track: Track) -> Reference:
        """Sum up a slide from windows spread over all its tissue, whatever part of it is to be mapped."""
        tiles = reference_tiles(slide, grid, tissue)
        batches = encode_tiles(tiles, self.encoder, self.batch, track, "look over the slide")
        return self.model.reference(np.concatenate([features for _, features in batches]))

    def fill(self, writer: MapWriter, tiles: Tiles, reference: Reference, track: Track) -> None:
        """Write the rows that are not written yet, from all the windows that reach into them."""
        grid = tiles.grid
        todo = replace(tiles, index=tiles.index[tiles.index[:, 0] + grid.side > writer.written])
        if not len(todo.index):
            return
        n_planes = 2 * len(self.genes) + 1 if self.std else len(self.genes)
        band = Band(n_planes, self.weights, grid.slide_cells, grid.raster.shape[1], top=int(todo.index[0, 0]))
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


def _vouched(header: MapHeader, model: PatchPredictor[Reference], reference: Reference) -> MapHeader:
    """Say what the models know of their limits."""
    known, novelty = model.calibration, model.novelty_of_slide(reference)
    return replace(
        header,
        grades={gene: grade for gene, grade in model.grades.items() if gene in header.genes},
        calibration=None if known is None else known.of(header.genes).to_json(),
        slide_novelty=novelty if math.isfinite(novelty) else None,
    )


def _choose(model: PatchPredictor[Reference], genes: Sequence[str] | None) -> tuple[str, ...]:
    if genes is None:
        return tuple(model.genes)
    for gene in genes:
        if gene not in model.genes:
            raise MapError(unknown("gene", gene, list(model.genes)))
    if not genes:
        raise MapError("no genes asked for; name some, or leave them out to map all of the model's")
    return tuple(dict.fromkeys(genes))
