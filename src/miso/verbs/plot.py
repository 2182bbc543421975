"""`miso plot`: a map over its slide."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import console

NAME = "plot"


def command(
    map_path: Annotated[Path, typer.Argument(metavar="MAP.zarr", help="A map made by super-resolve.")],
    gene: Annotated[str, typer.Option("--gene", help="The gene to draw.")],
    out: Annotated[Path, typer.Option("--out", help="The picture to write, e.g. KRT8.png.")],
) -> None:
    """Draw a gene's map over the slide's thumbnail, with a colour bar in units and a scale bar in µm.

    Example: `miso plot maps/C5.zarr --gene KRT8 --out KRT8.png`
    """
    from miso.maps import open_map
    from miso.maps.plot import plot_map

    plot_map(open_map(map_path), gene, out)
    console.tell(f"{out}")
