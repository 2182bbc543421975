"""PNG, one a gene: a pixel a cell in the colours of `miso plot`, clear where unseen, with its placing."""

import json
import re
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from miso.maps.aggregate import describe
from miso.maps.canvas import COLORS, color_limits
from miso.maps.exchange.formats import Extras, Format, formats
from miso.maps.exchange.view import View
from miso.maps.sampling import Plane
from miso.untrusted.names import LONGEST

PLACING = "placing.json"
"""Says where the pictures lie, and which values their colours stand for."""


def write(view: View, path: Path, extras: Extras) -> None:
    """Write a folder of pictures, a world file beside each, and `placing.json`."""
    path.mkdir()
    pictures: dict[str, dict[str, str | float]] = {}
    taken: set[str] = set()
    for gene in extras.track(view.map.genes, len(view.map), "drawing genes"):
        plane = view.plane(gene)
        limits = color_limits(plane)
        name = _file_name(gene, taken)
        Image.fromarray(_coloured(plane, limits)).save(path / f"{name}.png")
        (path / f"{name}.pgw").write_text(_world(view))
        pictures[gene] = {"file": f"{name}.png", "low": limits[0], "high": limits[1]}
    placing = {
        **describe(view.map.header),
        "corner_xy": view.corner_xy,
        "origin_xy": view.raster.origin_xy,
        "size_px": view.raster.shape[::-1],
        "shape": view.raster.shape,
        "colors": COLORS,
        "genes": pictures,
    }
    (path / PLACING).write_text(json.dumps(placing, indent=1))


def _coloured(plane: Plane, limits: tuple[float, float]) -> UInt8[NDArray[np.uint8], "row col 4"]:
    scaled = np.clip((plane - limits[0]) / (limits[1] - limits[0]), 0, 1)
    rgba = matplotlib.colormaps[COLORS](np.nan_to_num(scaled), bytes=True)
    rgba[..., 3] = np.where(np.isfinite(plane), 255, 0)
    return np.asarray(rgba, dtype=np.uint8)


def _world(view: View) -> str:
    """Word a world file: steps and the centre of the first pixel, in level-0 px, y down."""
    step, (x, y) = view.raster.step_px, view.raster.origin_xy
    return "".join(f"{number!r}\n" for number in (step, 0.0, 0.0, step, x, y))


def _file_name(gene: str, taken: set[str]) -> str:
    plain = re.sub(r"[^\w.-]|^[.-]", "_", gene).encode()[:LONGEST].decode(errors="ignore")
    name = plain
    number = 1
    while name.lower() in taken:  # some file systems do not tell a from A
        number += 1
        name = f"{plain}_{number}"
    taken.add(name.lower())
    return name


formats.register("png")(Format(suffixes=(), write=write))
