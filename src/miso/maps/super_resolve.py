"""A slide, an encoder and a patch model make a map: windows over all tissue, blended where they overlap."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from miso.encoders.encoder import Encoder
from miso.errors import MapError
from miso.geometry import TileSpec
from miso.launch.progress import Track, silent
from miso.launch.provenance import stamp
from miso.maps.divided import Share
from miso.maps.expression_map import ExpressionMap, open_map
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.painter import Painter
from miso.maps.patch_predictor import PatchPredictor
from miso.maps.seams import Seams, blending, lay_windows
from miso.maps.store import existing_map, new_band, new_map
from miso.maps.thumbnail import Thumbnail
from miso.maps.tiles import Tiles
from miso.registry import unknown
from miso.slides.slide import Slide
from miso.slides.tissue import TissueMask, tissue_mask, tissue_tiles, whole_slide

Reference = TypeVar("Reference")
Tissue = Literal["detect", "all"]
REFERENCE = "reference.npy"
"""Beside an unfinished map: patch features of the tiles that stand for the slide."""

log = logging.getLogger(__name__)


@overload
def super_resolve(
    slide: Slide,
    encoder: Encoder,
    model: PatchPredictor[Reference],
    out: Path | str,
    *,
    band: None = None,
    **options: Any,
) -> ExpressionMap: ...
@overload
def super_resolve(
    slide: Slide,
    encoder: Encoder,
    model: PatchPredictor[Reference],
    out: Path | str,
    *,
    band: tuple[int, int],
    **options: Any,
) -> ExpressionMap | None: ...
def super_resolve(  # type: ignore[misc]  # the options are those that are spelled out here
    slide: Slide,
    encoder: Encoder,
    model: PatchPredictor[Reference],
    out: Path | str,
    *,
    band: tuple[int, int] | None = None,
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
) -> ExpressionMap | None:
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
    band
        (index, count): makes only one of so many bands of rows, others being made by other processes, at the
        same time or not, on any machine that shares the file system. They come to the same bits as a map
        made in one go. Who ends last finishes the map and returns it, the others None.
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
    Busy
        If another process makes the same map, or the same band.
    """
    if batch_size < 1:
        raise MapError(f"batch size {batch_size}: at least one tile has to be encoded at a time")
    share = Share() if band is None else Share(index=band[0], count=band[1])
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
    look = partial(painter.look_over, slide, grid, found if found.mask.any() else mask, track)
    about, keep = (header, Thumbnail.of(slide)), mask.cells(grid.raster)
    making = (
        new_map(out, *about, keep)
        if share.whole
        else new_band(out, *about, keep, share, tiles.index[:, 0] + grid.side // 2)
    )
    with making as writer:
        reference = cache(lambda: model.reference(writer.kept(REFERENCE, look)))
        writer.vouch = lambda: _vouched(header, model, reference())
        if not writer.done:
            painter.fill(writer, tiles, reference(), track)
        elif not share.whole:
            log.info("%s: %s has nothing (more) to do", out, share.words)
    return open_map(out) if share.whole else existing_map(out, header)


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
