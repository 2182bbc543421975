"""A map of expression over a slide: genes × rows × columns, one cell a patch, NaN where nothing was seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from jaxtyping import Float
from numpy.typing import NDArray
from zarr.errors import GroupNotFoundError

from miso.errors import MapError
from miso.geometry import Points, Raster
from miso.maps.coverage import disc_polygons
from miso.maps.header import MapHeader
from miso.maps.sampling import Plane, Values, pool, resample, sample
from miso.maps.thumbnail import Thumbnail
from miso.models.calibration import LEVEL, Calibration, half_width
from miso.registry import unknown
from miso.untrusted.folder_links import check_folder

if TYPE_CHECKING:  # both work on maps
    import anndata

    from miso.maps.regions import Region

HEADER, VALUES, STD, NOVELTY, THUMBNAIL = "miso", "expression", "std", "novelty", "thumbnail"
"""Names inside the Zarr group: the attribute with the header, and the arrays."""
ALL = slice(None)
MOST_CHUNK, MOST_THUMBNAIL = 2**26, 2**27
"""Values of a chunk, and of the thumbnail (6,600 px on a side); those written have far fewer."""

Planes = Float[NDArray[np.float32], "gene row col"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExpressionMap:
    """A finished map on disk, read one gene at a time: `map[gene]` is (row, col) float32.

    Iterating over it gives its genes.
    """

    path: Path
    header: MapHeader
    thumbnail: Thumbnail
    values: zarr.Array[Any]
    kept: tuple[int, ...] | None = None
    """Where the genes lie on the first axis of `values`, if they are a selection."""
    std_values: zarr.Array[Any] | None = None
    novelty_values: zarr.Array[Any] | None = None

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
        return self.part(gene, ALL, ALL)

    def part(self, gene: str, rows: slice, columns: slice) -> Plane:
        """Read some rows and columns of a gene."""
        return self._read(self.values, self._stored(gene), rows, columns, f"gene {gene!r}")

    def std(self, gene: str, rows: slice = ALL, columns: slice = ALL) -> Plane | None:
        """Spread of a gene over models and over the windows that saw a cell, in its units, or None."""
        if self.std_values is None:
            return None
        return self._read(self.std_values, self._stored(gene), rows, columns, f"the spread of gene {gene!r}")

    @property
    def novelty(self) -> Plane | None:
        """How far each tile lies from the training tiles: beyond 1 the models guess; None if left out."""
        return self.novelty_part(ALL, ALL)

    def novelty_part(self, rows: slice, columns: slice) -> Plane | None:
        """Read some rows and columns of the novelty."""
        if self.novelty_values is None:
            return None
        return self._read(self.novelty_values, 0, rows, columns, "its novelty")

    @property
    def slide_novelty(self) -> float | None:
        """How far the slide lies from the training slides: beyond 1 farther than any; None if unknown."""
        return self.header.slide_novelty

    @property
    def grades(self) -> dict[str, str]:
        """How far cross-validation bears each gene out (see `miso.models.reliability`); empty if unknown."""
        return dict(self.header.grades)

    def _read(self, array: zarr.Array[Any], index: int, rows: slice, columns: slice, what: str) -> Plane:
        try:
            return np.asarray(array[index, rows, columns], dtype=np.float32)
        except (OSError, RuntimeError, ValueError) as err:
            raise MapError(f"map {self.path} is damaged at {what}: {err}; make it again") from err

    def planes(self, genes: slice, rows: slice, columns: slice) -> Planes:
        """Read some rows and columns of a run of genes, which is faster than one by one."""
        stored = [self._stored(gene) for gene in self.genes[genes]]
        together = stored == list(range(stored[0], stored[0] + len(stored)))
        try:
            if together:
                read = self.values[stored[0] : stored[0] + len(stored), rows, columns]
            else:
                read = self.values.oindex[np.asarray(stored, dtype=np.int64), rows, columns]
            return np.asarray(read, dtype=np.float32)
        except (OSError, RuntimeError, ValueError) as err:
            raise MapError(f"map {self.path} is damaged: {err}; make it again") from err

    def _stored(self, gene: str) -> int:
        if gene not in self.genes:
            raise MapError(f"{unknown('gene', gene, list(self.genes))} (in map {self.path.name!r})")
        index = self.genes.index(gene)
        return index if self.kept is None else self.kept[index]

    def select(self, genes: Sequence[str]) -> "ExpressionMap":
        """Return the same map with these genes alone, in this order; nothing is read or copied."""
        wanted = tuple(dict.fromkeys(genes))
        return replace(self, header=replace(self.header, genes=wanted), kept=tuple(map(self._stored, wanted)))

    def aggregate(self, regions: "Sequence[Region]") -> "anndata.AnnData":
        """Return the mean of each gene over each region; see `miso.maps.aggregate.aggregate`."""
        from miso.maps.aggregate import aggregate

        return aggregate(self, regions)

    def at(self, xy: Points, gene: str) -> Values:
        """Values of the cells that contain the positions (…, 2) in level-0 pixels; NaN outside the map."""
        return sample(self[gene], self.raster, xy)

    def interval(
        self, center_xy: Points, diameter_um: float, gene: str, level: float = LEVEL
    ) -> tuple[Values, Values]:
        """Bounds that hold what a spot there would measure, for `level` of spots; NaN where nothing is known.

        Calibrated on spots of the cohort's size that the models have not learnt from (see
        `miso.models.calibration`); discs of other sizes have other noise.
        """
        mean = self.pool(center_xy, diameter_um, gene)
        if self.header.calibration is None:
            return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
        known = Calibration.from_json(self.header.calibration)
        half = half_width(known, mean, known.genes.index(gene), level)
        return mean - half, mean + half

    def over(self, raster: Raster, gene: str) -> Plane:
        """Means over the cells of another raster on the same slide, by area; NaN cells are left out."""
        return resample(self[gene], self.raster, raster)

    def pool(self, center_xy: Points, diameter_um: float, gene: str) -> Values:
        """Means over discs about the centres (…, 2) in level-0 pixels.

        A cell counts by the share of the disc that it covers; NaN cells are left out, and a disc that sees no
        other is NaN.
        """
        diameter_px = diameter_um / (self.pitch_um / self.raster.step_px)
        discs = disc_polygons(np.asarray(center_xy, dtype=np.float64), diameter_px)
        return pool(self[gene], self.raster, discs.ravel()).reshape(discs.shape)

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
        check_folder(path)
        group = zarr.open_group(path, mode="r")
        if HEADER not in group.attrs:
            raise MapError(f"{path} holds no finished map; make it again, or wait for the run that makes it")
        header = MapHeader.from_json(group.attrs[HEADER])  # type: ignore[arg-type]  # any JSON; it checks
        values, small = group[VALUES], group[THUMBNAIL]
        if not isinstance(values, zarr.Array) or not isinstance(small, zarr.Array):
            raise TypeError("its arrays are groups")
        if values.shape != (len(header.genes), *header.raster.shape):
            raise ValueError(f"its values have shape {values.shape}")
        std, novelty = (_kept(group, name) for name in (STD, NOVELTY))
        _check_chunks(values, std, novelty)
        if small.size > MOST_THUMBNAIL:
            raise ValueError(f"its thumbnail claims {small.shape} values")
        thumbnail = Thumbnail(rgb=np.asarray(small[:], dtype=np.uint8), slide_size_px=header.slide.size_px)
    except (GroupNotFoundError, NotADirectoryError) as err:
        raise MapError(f"{path} is no expression map (a Zarr group made by `miso super-resolve`)") from err
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as err:
        raise MapError(f"map {path} is damaged: {err}; make it again") from err
    return ExpressionMap(
        path=path, header=header, thumbnail=thumbnail, values=values, std_values=std, novelty_values=novelty
    )


def _check_chunks(*arrays: zarr.Array[Any] | None) -> None:
    """Refuse arrays of which a chunk, which is unpacked whole, takes more than a quarter of a gigabyte."""
    for array in arrays:
        if array is not None and prod(array.chunks) > MOST_CHUNK:
            raise ValueError(f"an array of it has chunks of {array.chunks} values")


def _kept(group: zarr.Group, name: str) -> zarr.Array[Any] | None:
    array = group.get(name)
    return array if isinstance(array, zarr.Array) else None
