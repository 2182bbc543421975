"""A slide, an encoder and a patch model make a map: every tile with tissue, blended where tiles overlap."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from miso.encoders.encoder import Encoder
from miso.errors import MapError
from miso.geometry import PatchGrid, TileGrid, TileSpec
from miso.launch.progress import Track, silent
from miso.launch.provenance import stamp
from miso.maps.band import Band, RowWriter
from miso.maps.expression_map import ExpressionMap, open_map
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.patch_predictor import PatchPredictor
from miso.maps.store import existing_map, new_map
from miso.maps.thumbnail import Thumbnail
from miso.maps.tiles import Tiles, encode_tiles, reference_tiles
from miso.registry import unknown
from miso.slides.slide import Slide
from miso.slides.tissue import tissue_mask, tissue_tiles, whole_slide

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
    stride_px: int = 112,
    genes: Sequence[str] | None = None,
    batch_size: int = 16,
    tissue: Tissue = "detect",
    provenance: Mapping[str, Any] | None = None,
    track: Track = silent,
) -> ExpressionMap:
    """Map a slide at the resolution of the encoder's patches.

    Every tile that holds tissue is read, encoded and predicted; a cell that several tiles see is their mean,
    weighted towards the middle of each tile (`band.blending`), so that no tile shows its border.
    Memory holds one row of tiles and one row of chunks of the requested genes, however tall the slide is.

    Parameters
    ----------
    out
        The Zarr folder to make. It grows under another name and is renamed when it is finished. Where the
        same map is already, it is returned as it is.
    tile
        What the encoder is shown: 224 px at 0.5 µm/px unless said otherwise.
    stride_px
        Distance between tiles in tile pixels: a divisor of the tile and a multiple of the patch. With half a
        tile (112), four tiles see each cell.
    genes
        Those to map, in this order; None for all of the model's.
    tissue
        "detect" encodes only tiles with tissue and leaves cells off the tissue NaN, so that glass stays
        empty; "all" maps every cell.
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
    out, grid = Path(out), _grid(slide, encoder, tile, stride_px)
    made = {
        **(provenance or {}),
        "encoder": encoder.id,
        "tile": asdict(tile),
        "patch_px": encoder.patch_px,
        "stride_px": stride_px,
        "tissue": tissue,
        **stamp(),
    }
    header = MapHeader(
        genes=_choose(model, genes),
        units=model.units,
        pitch_um=grid.patches.patch_um,
        raster=grid.raster,
        slide=SlideRecord.of(slide),
        provenance=made,
    )
    if (found := existing_map(out, header)) is not None:
        log.info("%s is there already and was made the same way: skipped", out)
        return found
    mask = tissue_mask(slide) if tissue == "detect" else whole_slide(slide)
    tiles = Tiles(slide=slide, grid=grid, index=tissue_tiles(grid, mask))
    if not len(tiles.index):
        raise MapError(f"no tissue found in {slide.path.name!r}; pass --tissue all to map the whole slide")
    reference = _reference(reference_tiles(slide, grid, mask), encoder, model, batch_size, track)
    with new_map(out, header, Thumbnail.of(slide), keep=mask.cells(grid.raster)) as writer:
        _fill(writer, tiles, encoder, model, reference, header.genes, batch_size, track)
    return open_map(out)


def _reference(
    tiles: Tiles, encoder: Encoder, model: PatchPredictor[Reference], batch_size: int, track: Track
) -> Reference:
    batches = encode_tiles(tiles, encoder, batch_size, track, "look over the slide")
    return model.reference(np.concatenate([features for _, features in batches]))


def _fill(
    writer: RowWriter,
    tiles: Tiles,
    encoder: Encoder,
    model: PatchPredictor[Reference],
    reference: Reference,
    genes: tuple[str, ...],
    batch_size: int,
    track: Track,
) -> None:
    grid, side = tiles.grid, tiles.grid.patches.side
    columns = [model.genes.index(gene) for gene in genes]
    band = Band(
        len(genes), height=side, width=grid.raster.shape[1], top=grid.first_cell(int(tiles.index[0, 0]))
    )
    for index, features in encode_tiles(tiles, encoder, batch_size, track, "super-resolve"):
        patches = model.predict_patches(features, reference)[..., columns]
        for (row, col), values in zip(
            index.tolist(), patches.reshape(-1, side, side, len(genes)), strict=True
        ):
            top = grid.first_cell(row)
            if top > band.top:
                writer.put(band.top, band.advance(top))
            band.add(top, grid.first_cell(col), values)
    writer.put(band.top, band.advance(band.top + side))


def _grid(slide: Slide, encoder: Encoder, tile: TileSpec, stride_px: int) -> TileGrid:
    try:
        patches = PatchGrid(tile=tile, patch_px=encoder.patch_px)
        return TileGrid(
            patches=patches, stride_px=stride_px, slide_size_px=slide.size_px, slide_mpp=slide.mpp
        )
    except ValueError as err:
        raise MapError(str(err)) from err


def _choose(model: PatchPredictor[Reference], genes: Sequence[str] | None) -> tuple[str, ...]:
    if genes is None:
        return tuple(model.genes)
    for gene in genes:
        if gene not in model.genes:
            raise MapError(unknown("gene", gene, list(model.genes)))
    if not genes:
        raise MapError("no genes asked for; name some, or leave them out to map all of the model's")
    return tuple(dict.fromkeys(genes))
