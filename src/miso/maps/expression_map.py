"""A map of expression over a slide: genes × rows × columns, one cell a patch, NaN where nothing was seen."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float
from numpy.typing import NDArray
from zarr.errors import GroupNotFoundError

from miso.errors import MapError
from miso.geometry import Points, Raster
from miso.maps.header import MapHeader
from miso.maps.thumbnail import Thumbnail
from miso.registry import unknown

HEADER, VALUES, THUMBNAIL = "miso", "expression", "thumbnail"
"""Names inside the Zarr group: the attribute with the header, and the two arrays."""
DISC_POINTS = 1024
"""Points that stand for a disc when cells are pooled under a spot."""

Plane = Float[NDArray[np.float32], "row col"]
Values = Float[NDArray[np.float32], "*n"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExpressionMap:
    """A finished map on disk, read one gene at a time: `map[gene]` is (row, col) float32.

    Iterating over it gives its genes.
    """

    path: Path
    header: MapHeader
    thumbnail: Thumbnail
    values: zarr.Array[Any]

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes, in the order of the first axis."""
        return self.header.genes

    @property
    def units(self) -> str:
        """Units of the values, as the model names them."""
        return self.header.units

    @property
    def pitch_um(self) -> float:
        """Distance between cells in µm, which is a cell's side."""
        return self.header.pitch_um

    @property
    def raster(self) -> Raster:
        """Where the cells lie on the slide."""
        return self.header.raster

    @property
    def origin_xy(self) -> tuple[float, float]:
        """Centre of cell [0, 0] in level-0 pixels."""
        return self.raster.origin_xy

    @property
    def step_xy(self) -> tuple[float, float]:
        """Distance between cells along x and y in level-0 pixels."""
        return self.raster.step_px, self.raster.step_px

    @property
    def provenance(self) -> dict[str, object]:
        """Encoder, tile spec, stride, version and whatever else the maker said."""
        return dict(self.header.provenance)

    def __len__(self) -> int:
        return len(self.genes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.genes)

    def __contains__(self, gene: object) -> bool:
        return gene in self.genes

    def __getitem__(self, gene: str) -> Plane:
        if gene not in self.genes:
            raise MapError(f"{unknown('gene', gene, list(self.genes))} (in map {self.path.name!r})")
        try:
            return np.asarray(self.values[self.genes.index(gene)], dtype=np.float32)
        except (OSError, RuntimeError, ValueError) as err:
            raise MapError(f"map {self.path} is damaged at gene {gene!r}: {err}; make it again") from err

    def at(self, xy: Points, gene: str) -> Values:
        """Values of the cells that contain the positions (…, 2) in level-0 pixels; NaN outside the map."""
        return _sample(self[gene], self.raster, xy)

    def pool(self, center_xy: Points, diameter_um: float, gene: str) -> Values:
        """Means over discs about the centres (…, 2) in level-0 pixels.

        A cell counts by the share of the disc that it covers (to about 1 %); NaN cells are left out, and a
        disc that sees no other is NaN.
        """
        radius_px = diameter_um / 2 / (self.pitch_um / self.raster.step_px)
        points = np.asarray(center_xy, dtype=np.float64)[..., None, :] + _disc(DISC_POINTS) * radius_px
        values = _sample(self[gene], self.raster, points)
        seen = np.isfinite(values)
        total = np.where(seen, values, 0).sum(axis=-1, dtype=np.float64)
        count = seen.sum(axis=-1)
        means = np.full(count.shape, np.nan, dtype=np.float32)
        np.divide(total, count, out=means, where=count > 0, casting="same_kind")
        return means

    def __repr__(self) -> str:
        (rows, columns), name = self.raster.shape, self.path.name
        return (
            f"ExpressionMap({name!r}, {len(self)} genes × {rows} × {columns} cells of {self.pitch_um:g} µm)"
        )


def open_map(path: Path | str) -> ExpressionMap:
    """Open a finished map.

    Raises
    ------
    MapError
        If nothing is there, it is no map, it was never finished, or its description is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise MapError(f"no map at {path}")
    try:
        group = zarr.open_group(path, mode="r")
        if HEADER not in group.attrs:
            raise MapError(f"{path} holds no finished map; make it again, or wait for the run that makes it")
        header = MapHeader.from_json(group.attrs[HEADER])  # type: ignore[arg-type]  # any JSON; it checks
        values, small = group[VALUES], group[THUMBNAIL]
        if not isinstance(values, zarr.Array) or not isinstance(small, zarr.Array):
            raise TypeError("its arrays are groups")
        if values.shape != (len(header.genes), *header.raster.shape):
            raise ValueError(f"its values have shape {values.shape}")
        thumbnail = Thumbnail(rgb=np.asarray(small[:], dtype=np.uint8), slide_size_px=header.slide.size_px)
    except (GroupNotFoundError, NotADirectoryError) as err:
        raise MapError(f"{path} is no expression map (a Zarr group made by `miso super-resolve`)") from err
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as err:
        raise MapError(f"map {path} is damaged: {err}; make it again") from err
    return ExpressionMap(path=path, header=header, thumbnail=thumbnail, values=values)


def _sample(plane: Plane, raster: Raster, xy: Points) -> Values:
    cells = raster.cells_of(xy)
    inside = raster.contains(cells)
    row, col = np.moveaxis(np.where(inside[..., None], cells, 0), -1, 0)
    return np.asarray(np.where(inside, plane[row, col], np.nan), dtype=np.float32)


def _disc(n: int) -> Float[NDArray[np.float64], "point 2"]:
    """Points spread evenly over the unit disc, each for the same area (Vogel, Math. Biosci. 44, 1979)."""
    index = np.arange(n)
    radius, angle = np.sqrt((index + 0.5) / n), index * (math.pi * (3 - math.sqrt(5)))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
