"""`miso export`: what MISO made, in other tools' formats."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import console

NAME = "export"
HELP_TO = (
    "Of a map: **h5ad** (scanpy, squidpy; a row a cell), **parquet** (pandas, R; a row a cell), "
    "**geojson** (QuPath; a square detection a cell), **ome-tiff** (QuPath, napari, Fiji; a channel a gene), "
    "**spatialdata** (a .zarr; the extra 'spatial'), **png** (a folder; a picture a gene). "
    "Of a Sample: **miso-npy** (the original MISO's folder)."
)


def command(
    path: Annotated[Path, typer.Argument(metavar="MAP.zarr|SAMPLE", help="A map, or a Sample folder.")],
    to: Annotated[str, typer.Option("--to", help=HELP_TO)],
    out: Annotated[Path, typer.Option("--out", help="The file or folder to write; nothing is overwritten.")],
    genes: Annotated[str, typer.Option("--genes", help="Genes, e.g. KRT8,CD3D; all by default.")] = "",
    region: Annotated[
        Path | None,
        typer.Option("--region", help="A GeoJSON file: only cells at least half inside its polygons."),
    ] = None,
    over: Annotated[
        Path | None,
        typer.Option(
            "--over",
            help="A GeoJSON file (annotations, or QuPath's cells) or a Sample: a row a polygon or spot, the "
            "mean of the map over it, in place of a row a cell; to h5ad or parquet.",
        ),
    ] = None,
    sample: Annotated[
        Path | None, typer.Option("--sample", help="A Sample whose spots go along; to spatialdata.")
    ] = None,
) -> None:
    """Write a map in the format of another tool, or a Sample as the files that the original MISO trains on.

    Places are pixels of the slide's full resolution, (x, y) from its top-left corner; docs/exchange.md says
    which file opens where. GeoJSON files have to be in these pixels too, as QuPath exports them.

    Example: `miso export C5.zarr --to geojson --genes ERBB2,CD3D --out C5.geojson`

    Example: `miso export C5.zarr --to h5ad --over cells.geojson --out cells.h5ad`

    Example: `miso export samples/S1 --to miso-npy --out original/S1`
    """
    from miso.verbs._export import export

    wanted = [gene.strip() for gene in genes.split(",") if gene.strip()] or None
    console.tell(export(path, to, out, genes=wanted, region=region, over=over, sample=sample))
