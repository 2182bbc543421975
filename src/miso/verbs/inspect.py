"""`miso inspect`: what a file or folder is, and where it came from."""

import json
from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import console

NAME = "inspect"


def command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Any file or folder.")],
    mpp: Annotated[
        float | None, typer.Option("--mpp", help="µm per pixel of a slide, where it does not say.")
    ] = None,
    tiles: Annotated[
        Path | None, typer.Option("--tiles", help="Slides: write each tile's quality and reason as CSV.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Slides: draw the tiles by reason over the slide.")
    ] = None,
    bin_um: Annotated[
        float | None, typer.Option("--bin-um", help="Visium HD: side of the bins to take, 16 or 8.")
    ] = None,
    library: Annotated[str, typer.Option("--library", help="Which library of an aggregated run.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Say what a slide, vendor folder, Sample, run, checkpoint or map is, and where its numbers come from.

    For slides, --tiles and --picture say for each tile of 224 px at 0.5 µm/px whether it is tissue,
    background, pen, a fold or blurred.

    Example: `miso inspect S1/outs`, `miso inspect S1.svs --picture tiles.png`
    """
    from miso.samples.vendors.section import VendorOptions
    from miso.verbs._inspect import describe

    facts = describe(path, VendorOptions(bin_um=bin_um, library=library))
    if as_json:
        console.out.print_json(json.dumps(facts, ensure_ascii=False))
    else:
        width = max(map(len, facts))
        for key, value in facts.items():
            console.out.print(f"{key:<{width}}  {value}", markup=False)
    if tiles or picture:
        from miso.verbs._tiles import write_tiles

        write_tiles(path, mpp, tiles, picture)
