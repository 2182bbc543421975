"""The formats that maps go out in, by name: this package's, and those of other packages' entry points."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata

from miso.errors import MapError
from miso.launch.progress import Track, silent
from miso.maps.exchange.view import View
from miso.maps.regions import Region
from miso.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What may go out beside the map: spots or regions as shapes; and how progress is shown."""

    spots: tuple[Region, ...] = ()
    regions: tuple[Region, ...] = ()
    track: Track = silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How one format is written.

    Attributes
    ----------
    suffixes
        What the file's name has to end in; empty for a folder.
    write
        Writes a view of a map to a path at which nothing is.
    write_regions
        Writes a table with one row a region, where the format holds one.
    """

    suffixes: tuple[str, ...]
    write: Callable[[View, Path, Extras], None]
    write_regions: Callable[[anndata.AnnData, Path], None] | None = None


formats: Registry[Format] = Registry("format", "miso.exchange", MapError)
"""Formats by name: `h5ad`, `spatialdata`, `ome-tiff`, `geojson`, `parquet`, `png`, or another package's."""
