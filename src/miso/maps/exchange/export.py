"""Writing maps, and tables over regions, in a format by name: under a temporary name, never over a file."""

from collections.abc import Sequence
from pathlib import Path

from miso.errors import MapError
from miso.launch.progress import Track, silent
from miso.maps.aggregate import aggregate, spots_of
from miso.maps.exchange import (  # noqa: F401  importing them registers their formats
    geojson,
    h5ad,
    ome_tiff,
    parquet,
    png,
    spatial_data,
)
from miso.maps.exchange.formats import Extras, Format, formats
from miso.maps.exchange.view import view
from miso.maps.expression_map import ExpressionMap
from miso.maps.regions import Region
from miso.samples.sample import Sample
from miso.storage.atomic import write_path


def export_map(
    map_: ExpressionMap,
    to: str,
    out: Path | str,
    *,
    genes: Sequence[str] | None = None,
    regions: Sequence[Region] | None = None,
    sample: Sample | None = None,
    track: Track = silent,
) -> None:
    """Write a map in another format.

    Parameters
    ----------
    to
        One of `formats`.
    genes
        Those to write, all by default.
    regions
        Leave out cells of which less than half lies inside them.
    sample
        Whose spots go along as shapes (`spatialdata` only).

    Raises
    ------
    MapError
        If the format or a gene is unknown, or something is at `out` already.
    RegionError
        If the regions lie off the slide.
    """
    out = Path(out)
    written = _checked(to, out)
    chosen = view(map_, genes, regions)
    spots = () if sample is None else spots_of(sample, map_)
    with write_path(out) as partial:
        written.write(chosen, partial, Extras(spots=spots, regions=tuple(regions or ()), track=track))


def export_regions(
    map_: ExpressionMap,
    to: str,
    out: Path | str,
    regions: Sequence[Region],
    *,
    genes: Sequence[str] | None = None,
    track: Track = silent,
) -> None:
    """Write the means of a map over regions: a row a region, a column a gene.

    Raises
    ------
    MapError
        If the format holds no such table, a gene is unknown, or something is at `out` already.
    RegionError
        If the regions lie off the slide.
    """
    out = Path(out)
    written = _checked(to, out)
    if written.write_regions is None:
        able = [name for name in formats if formats[name].write_regions is not None]
        raise MapError(f"{to} holds cells of the map; means over regions go to {' or '.join(able)}")
    table = aggregate(map_ if genes is None else map_.select(genes), regions, track)
    with write_path(out) as partial:
        written.write_regions(table, partial)


def _checked(to: str, out: Path) -> Format:
    written = formats[to]
    if written.suffixes and not out.name.lower().endswith(written.suffixes):
        raise MapError(f"{out.name!r} is no name for {to}; it ends in {' or '.join(written.suffixes)}")
    if not written.suffixes and out.suffix:
        raise MapError(
            f"{to} writes a folder, and {out.name!r} looks like a file; choose a name without a dot"
        )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise MapError(f"{out} is there already; remove it or choose another name")
    return written
