"""`miso view`: a slide with its maps and spots in a browser."""

from pathlib import Path
from typing import Annotated

import typer

NAME = "view"


def command(
    slide: Annotated[Path, typer.Argument(help="The slide: any image that MISO reads.")],
    maps: Annotated[
        list[Path] | None,
        typer.Option("--map", metavar="MAP.zarr", help="A map of this slide; may be given several times."),
    ] = None,
    samples: Annotated[
        list[Path] | None,
        typer.Option(
            "--sample",
            metavar="SAMPLE",
            help="A Sample of this slide, or an .h5ad of predictions; may be given several times.",
        ),
    ] = None,
    genes: Annotated[str, typer.Option("--genes", help="Of the maps, these alone, e.g. KRT8,CD3D.")] = "",
    mpp: Annotated[
        float | None, typer.Option("--mpp", help="µm per pixel of the slide, where nothing else says it.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="By default the first free from 8765 on.")
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="Where to listen. Beyond this machine (0.0.0.0) a token is asked for."),
    ] = "127.0.0.1",
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", help="Write a folder that any web server can host instead."),
    ] = None,
) -> None:
    """Pan over a slide in the browser, with its maps and its measured and predicted spots.

    Genes by name, opacity, colour scales, values and spread under the pointer, regions with the mean of each
    gene; ? in the page lists the keys. The address of the page holds what is shown, so that it can be shared.
    Stop it with Ctrl-C.

    Example: `miso view C5.jpg --map maps/C5.zarr --sample her2st/processed_data/C5`

    Example: `miso view C5.jpg --map maps/C5.zarr --genes KRT8,ERBB2 --export site`
    """
    from miso.verbs._view import open_, write

    wanted = [gene.strip() for gene in genes.split(",") if gene.strip()]
    if export is not None:
        write(slide, maps or [], samples or [], export, genes=wanted, mpp=mpp)
    else:
        open_(slide, maps or [], samples or [], genes=wanted, mpp=mpp, host=host, port=port, browser=browser)
