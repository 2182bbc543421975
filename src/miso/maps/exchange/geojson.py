"""GeoJSON for QuPath, a square detection a cell that was seen, in level-0 px; written line by line."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from miso.maps.exchange.formats import Extras, Format, formats
from miso.maps.exchange.view import Block, View

log = logging.getLogger(__name__)

MANY_GENES = 100
"""More measurements than this a detection make a file that QuPath has trouble to open."""


def write(view: View, path: Path, extras: Extras) -> None:
    """Write a FeatureCollection: genes as measurements of 5 digits, corners rounded to 0.01 px."""
    if len(view.map) > MANY_GENES:
        log.warning("%d measurements a detection are many for QuPath; choose genes", len(view.map))
    keys = [json.dumps(gene) for gene in view.map.genes]
    between = "\n"
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for block in view.blocks(extras.track, "writing detections"):
            for line in _lines(block, view.map.raster.step_px, keys):
                file.write(between)
                file.write(line)
                between = ",\n"
        file.write("\n]}\n")


def _lines(block: Block, step_px: float, keys: list[str]) -> Iterator[str]:
    """Word the detections; a gene that is NaN there is not among its measurements."""
    low = np.round(block.center_xy - step_px / 2, 2).tolist()
    high = np.round(block.center_xy + step_px / 2, 2).tolist()
    places = zip(block.row.tolist(), block.column.tolist(), low, high, strict=True)
    for (row, col, (x0, y0), (x1, y1)), values in zip(places, block.values, strict=True):
        measured = ", ".join(
            f"{key}: {value:.5g}"
            for key, value in zip(keys, values.tolist(), strict=True)
            if value - value == 0  # finite
        )
        yield (
            '{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": '
            f"[[[{x0}, {y0}], [{x1}, {y0}], [{x1}, {y1}], [{x0}, {y1}], [{x0}, {y0}]]]}}, "
            f'"properties": {{"objectType": "detection", "name": "{row}_{col}", '
            f'"measurements": {{{measured}}}}}}}'
        )


formats.register("geojson")(Format(suffixes=(".geojson", ".json"), write=write))
