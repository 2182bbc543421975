"""Everything that the page asks for, by kind and number: made once, kept while there is room.

The live server makes a resource when it is asked for, an export makes them all. Names of genes, sections and
files are never part of an address.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import product

import numpy as np

from miso.view.bounded import BoundedCache
from miso.view.map_tiles import TILE
from miso.view.scene import Scene

CACHED_BYTES = 256 << 20
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "jpg": "image/jpeg",
    "f32": "application/octet-stream",
    "txt": "text/plain; charset=utf-8",
}
"""By a file's ending, what the server says it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One file of the page: its address, relative to the page, and its bytes."""

    address: str
    content: bytes

    @property
    def media_type(self) -> str:
        """What it is."""
        return TYPES[self.address.rpartition(".")[2]]


class Resources:
    """The resources of a Scene."""

    def __init__(self, scene: Scene, *, live: bool) -> None:
        self.scene = scene
        self.page = {resource.address: resource for resource in _page()}
        description = json.dumps(scene.described(live=live), ensure_ascii=False).encode()
        self.page["scene.json"] = Resource(address="scene.json", content=description)
        self._tiles = BoundedCache[bytes | None](CACHED_BYTES, lambda made: 64 + len(made or b""))

    def slide_tile(self, level: int, column: int, row: int) -> bytes | None:
        """Return a tile of the slide (JPEG), or None where there is none."""
        key = ("slide", level, column, row)
        return self._tiles.get(key, lambda: self.scene.slide.tile(level, column, row))

    def map_tile(self, map_: int, plane: str, level: int, column: int, row: int) -> bytes | None:
        """Return a tile of a map's plane (float32), or None where there is none."""
        if not 0 <= map_ < len(self.scene.maps) or len(plane) > 8:
            return None
        key = (map_, plane, level, column, row)
        return self._tiles.get(key, lambda: self.scene.maps[map_].tile(plane, level, column, row))

    def percentiles(self, map_: int, plane: str) -> bytes | None:
        """Return the percentiles 0 to 100 of a plane (JSON), or None where there is none."""
        if not 0 <= map_ < len(self.scene.maps):
            return None
        found = self.scene.maps[map_].percentiles(plane)
        return None if found is None else json.dumps(found).encode()

    def spots(self, sample: int) -> bytes | None:
        """Return where the spots of a section lie, and their names (JSON), or None where there is none."""
        if not 0 <= sample < len(self.scene.spots):
            return None
        spots = self.scene.spots[sample]
        x, y = spots.xy.T.round(2).tolist()
        return json.dumps({"x": x, "y": y, "names": spots.names}, ensure_ascii=False).encode()

    def spot_values(self, sample: int, gene: int) -> bytes | None:
        """Return a gene at the spots of a section (float32), or None where there is none."""
        if not 0 <= sample < len(self.scene.spots):
            return None
        spots = self.scene.spots[sample]
        if not 0 <= gene < len(spots.genes):
            return None
        return np.asarray(spots.of_gene(gene), dtype="<f4").tobytes()

    def all(self) -> Iterator[Resource]:
        """Yield every resource: what a folder holds that another server is to host."""
        yield from self.page.values()
        for address, content in self._all():
            assert content is not None
            yield Resource(address=address, content=content)

    def count(self) -> int:
        """How many resources `all` yields."""
        slide, maps = self.scene.slide, self.scene.maps
        n_slide = sum(np.prod(slide.shape(level)) for level in range(slide.n_levels))
        n_maps = sum(len(m.planes) * (1 + sum(len(_places(shape)) for shape in m.shapes)) for m in maps)
        return int(len(self.page) + n_slide + n_maps + sum(1 + len(each.genes) for each in self.scene.spots))

    def _all(self) -> Iterator[tuple[str, bytes | None]]:
        slide = self.scene.slide
        for level in range(slide.n_levels):
            columns, rows = slide.shape(level)
            for row, column in product(range(rows), range(columns)):
                yield f"slide/{level}/{column}_{row}.jpg", slide.tile(level, column, row)
        for number, tiles in enumerate(self.scene.maps):
            for plane in tiles.planes:
                at = f"maps/{number}/{plane}"
                yield f"{at}/percentiles.json", self.percentiles(number, plane)
                for level, shape in enumerate(tiles.shapes):
                    for row, column in _places(shape):
                        yield f"{at}/{level}/{column}_{row}.f32", tiles.tile(plane, level, column, row)
        for number, spots in enumerate(self.scene.spots):
            yield f"samples/{number}/spots.json", self.spots(number)
            for gene in range(len(spots.genes)):
                yield f"samples/{number}/genes/{gene}.f32", self.spot_values(number, gene)


def _places(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """(row, column) of the tiles of a level of a map."""
    rows, columns = (range(-(-side // TILE)) for side in shape)
    return list(product(rows, columns))


def _page(folder: Traversable | None = None, at: str = "") -> Iterator[Resource]:
    """Yield the files of the page itself, as they are installed."""
    folder = folder or files("miso.view").joinpath("page")
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.is_dir():
            yield from _page(file, f"{at}{file.name}/")
        elif file.name.rpartition(".")[2] in TYPES:
            yield Resource(address=at + file.name, content=file.read_bytes())
