"""Exporting a map, or a Sample: which options go together, and what is said at the end."""

from pathlib import Path

from miso.errors import ConfigError
from miso.maps import ExpressionMap, open_map
from miso.maps.aggregate import spots_of
from miso.maps.exchange import export_map, export_regions
from miso.maps.exchange.formats import formats
from miso.maps.regions import Region, read_regions
from miso.registry import unknown
from miso.samples import open_sample
from miso.samples.sample import read_manifest
from miso.samples.vendors.original.export import export_original
from miso.verbs.console import track

ORIGINAL = "miso-npy"


def export(
    path: Path,
    to: str,
    out: Path,
    *,
    genes: list[str] | None,
    region: Path | None,
    over: Path | None,
    sample: Path | None,
) -> str:
    """Write `path` in the format `to`, and return a line about it."""
    if to not in (known := [*formats, ORIGINAL]):
        raise ConfigError(f"--to: {unknown('format', to, known)}")
    given = [
        name
        for name, value in (("--genes", genes), ("--region", region), ("--over", over), ("--sample", sample))
        if value
    ]
    if to == ORIGINAL:
        return _export_sample(path, out, given)
    _check(path, to, given)
    map_ = open_map(path)
    if over is not None:
        rows = _regions(over, map_)
        export_regions(map_, to, out, rows, genes=genes, track=track)
        return (
            f"{out}: {len(rows):,} rows of means over {over.name} × {len(genes or map_)} genes ({map_.units})"
        )
    export_map(
        map_,
        to,
        out,
        genes=genes,
        regions=None if region is None else read_regions(region),
        sample=None if sample is None else open_sample(sample),
        track=track,
    )
    return f"{out}: {len(genes or map_)} genes, cells of {map_.pitch_um:.3g} µm ({map_.units})"


def _export_sample(path: Path, out: Path, given: list[str]) -> str:
    if given:
        raise ConfigError(f"--to {ORIGINAL} writes a whole Sample; {given[0]} is for maps")
    if read_manifest(path) is None and (path / "zarr.json").is_file():
        raise ConfigError(f"{path} is a map and --to {ORIGINAL} writes Samples; a map goes --to {_list()}")
    export_original(open_sample(path), out, flavour="visium")
    return f"{out}"


def _check(path: Path, to: str, given: list[str]) -> None:
    if read_manifest(path) is not None:
        raise ConfigError(f"{path} is a Sample, which goes --to {ORIGINAL}; --to {to} writes maps")
    if "--over" in given and formats[to].write_regions is None:
        able = [f"--to {name}" for name in formats if formats[name].write_regions is not None]
        raise ConfigError(f"--over makes a row a polygon, which {to} does not hold; use {' or '.join(able)}")
    if "--over" in given and "--region" in given:
        raise ConfigError("--over gives a row a polygon and --region cells inside polygons; pass one of them")
    if "--sample" in given and to != "spatialdata":
        raise ConfigError(
            f"--sample sends spots along to spatialdata, not to {to}; for means under spots: --over SAMPLE"
        )


def _regions(over: Path, map_: ExpressionMap) -> tuple[Region, ...]:
    if read_manifest(over) is not None:
        return spots_of(open_sample(over), map_)
    return read_regions(over)


def _list() -> str:
    return ", ".join(formats)
