"""`miso plot`: maps over their slide."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import console

NAME = "plot"


def command(
    maps: Annotated[
        list[Path], typer.Argument(metavar="MAP.zarr...", help="A map, or several of the same slide.")
    ],
    gene: Annotated[str, typer.Option("--gene", "--genes", help="Genes to draw, e.g. KRT8 or KRT8,ERBB2.")],
    out: Annotated[Path, typer.Option("--out", help="The picture to write: .png, .pdf, .svg …")],
    zoom: Annotated[
        str,
        typer.Option(
            "--zoom",
            metavar="X,Y,WIDTH_UM",
            help="Show a square so many µm wide about x, y (level-0 pixels), with the slide's own pixels.",
        ),
    ] = "",
    region: Annotated[
        Path | None,
        typer.Option("--region", help="Show, and outline, what these polygons (GeoJSON) span instead."),
    ] = None,
    spots: Annotated[
        Path | None,
        typer.Option("--spots", metavar="SAMPLE", help="Beside it what this Sample measured at its spots."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", metavar="FILE.h5ad", help="And what miso predict, or a run, says of its spots."
        ),
    ] = None,
    std: Annotated[
        bool, typer.Option("--std", help="Beside each map its spread over models and windows.")
    ] = False,
    limits: Annotated[
        str,
        typer.Option(
            "--limits", metavar="LOW,HIGH", help="Values at the ends of the colours; else 1 % and 99 %."
        ),
    ] = "",
    log: Annotated[bool, typer.Option("--log", help="Colours on a logarithmic scale.")] = False,
) -> None:
    """Draw maps over their slide, with colour bars in units and scale bars in µm.

    A gene has the same colours in every map, so that strides can be compared; captions say how each map was
    made, and how far cross-validation bears the gene out. What was not mapped shows the slide; what is unlike
    anything in training is hatched.

    Example: `miso plot maps/C5.zarr --gene KRT8 --out KRT8.png`

    Example: `miso plot stride112.zarr stride56.zarr --gene ERBB2,KRT8 --zoom 2400,3100,600 --std --out z.png`

    Example: `miso plot C5.zarr --gene KRT8 --spots processed_data/C5 --predictions runs/c/predictions/C5.h5ad
    --out spots.png`
    """
    from miso.verbs._plot import draw

    draw(
        maps,
        [name.strip() for name in gene.split(",") if name.strip()],
        out,
        zoom=zoom,
        region=region,
        spots=spots,
        predictions=predictions,
        std=std,
        limits=limits,
        log=log,
    )
    console.tell(f"{out}")
