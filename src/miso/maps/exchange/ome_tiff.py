"""Pyramidal OME-TIFF, a float32 channel a gene, NaN where unseen; sizes in µm; gene by gene, tile by tile."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Float
from numpy.typing import NDArray

from miso.maps.exchange.formats import Extras, Format, formats
from miso.maps.exchange.view import View
from miso.maps.sampling import Plane

TILE, SMALLEST = 256, 256
"""Side of a tile, and the longer side at which the pyramid ends, in cells."""


def write(view: View, path: Path, extras: Extras) -> None:
    """Write a channel a gene at full size, then each level of the pyramid, halved, as SubIFDs.

    Genes are read again for each level, so that one gene at a time is held.
    """
    shapes = _levels(view.raster.shape)
    genes = [(level, gene) for level in range(len(shapes)) for gene in view.map.genes]
    shown = iter(extras.track(genes, len(genes), "writing channels"))
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        for level, shape in enumerate(shapes):
            file.write(
                _tiles(view, level, shown),
                shape=(len(view.map), *shape),
                dtype=np.float32,
                tile=(TILE, TILE),
                photometric="minisblack",
                compression="zlib",
                subifds=len(shapes) - 1 if level == 0 else None,
                subfiletype=0 if level == 0 else 1,
                metadata=_metadata(view) if level == 0 else None,
                resolution=(1e4 / (view.map.pitch_um * 2**level),) * 2,
                resolutionunit="CENTIMETER",
            )
        for _ in shown:  # let a progress bar end
            pass


def _levels(shape: tuple[int, int]) -> list[tuple[int, int]]:
    shapes = [shape]
    while max(shapes[-1]) > SMALLEST:
        rows, columns = shapes[-1]
        shapes.append(((rows + 1) // 2, (columns + 1) // 2))
    return shapes


def _tiles(view: View, level: int, shown: Iterator[tuple[int, str]]) -> Iterator[Plane]:
    for _ in view.map.genes:
        plane = view.plane(next(shown)[1])
        for _ in range(level):
            plane = _halved(plane)
        rows, columns = plane.shape
        for top in range(0, rows, TILE):
            for left in range(0, columns, TILE):
                tile = np.full((TILE, TILE), np.nan, dtype=np.float32)
                piece = plane[top : top + TILE, left : left + TILE]
                tile[: piece.shape[0], : piece.shape[1]] = piece
                yield tile


def _halved(plane: Plane) -> Plane:
    """Average 2 × 2 cells, NaN left out; beyond an odd border nothing is seen."""
    rows, columns = plane.shape
    even = np.pad(plane, ((0, rows % 2), (0, columns % 2)), constant_values=np.nan)
    blocks: Float[NDArray[np.float32], "row 2 col 2"] = even.reshape(
        (rows + 1) // 2, 2, (columns + 1) // 2, 2
    )
    seen = np.isfinite(blocks)
    total = np.where(seen, blocks, 0).sum(axis=(1, 3))
    count = seen.sum(axis=(1, 3), dtype=np.float32)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _metadata(view: View) -> dict[str, object]:
    """Say sizes and places; the position is that of the first cell's centre in µm from the slide's corner."""
    map_, (x, y), step = view.map, view.raster.origin_xy, view.raster.step_px
    mpp, n = map_.pitch_um / step, len(map_)
    (left, top), slide = view.corner_xy, map_.header.slide
    return {
        "axes": "CYX",
        "Name": map_.path.stem,
        "Description": (
            f"{map_.units}; on slide {slide.name} of {slide.size_px[0]} x {slide.size_px[1]} px the first "
            f"cell's top-left corner lies at ({left:.10g}, {top:.10g}) px and a cell is {step:.10g} px"
        ),
        "Channel": {"Name": list(map_.genes)},
        "PhysicalSizeX": map_.pitch_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": map_.pitch_um,
        "PhysicalSizeYUnit": "µm",
        "Plane": {
            "PositionX": [x * mpp] * n,
            "PositionXUnit": ["µm"] * n,
            "PositionY": [y * mpp] * n,
            "PositionYUnit": ["µm"] * n,
        },
    }


formats.register("ome-tiff")(Format(suffixes=(".ome.tif", ".ome.tiff"), write=write))
