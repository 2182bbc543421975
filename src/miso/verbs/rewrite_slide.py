"""`miso rewrite-slide`: any image to a tiled pyramid that knows its resolution."""

from pathlib import Path
from typing import Annotated

import typer

NAME = "rewrite-slide"


def command(
    path_slide: Annotated[
        Path,
        typer.Option("--path-slide", help="TIFF, JPEG, PNG, SVS, or another slide that openslide reads."),
    ],
    path_output_folder: Annotated[
        Path, typer.Option("--path-output-folder", help="Folder for STEM_pyr.tif; made if need be.")
    ],
    path_visium: Annotated[
        Path | None,
        typer.Option("--path-visium", help="Space Ranger folder, or its spatial/, which knows µm per pixel."),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option("--mpp", help="µm per pixel, instead of --path-visium or against it.")
    ] = None,
    quality: Annotated[
        int, typer.Option("--quality", help="JPEG quality; below 90 colours are stored at half resolution.")
    ] = 94,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Keep every pixel as it is: 2 to 3 times the size.")
    ] = False,
) -> None:
    """Rewrite an image as a tiled pyramidal BigTIFF that openslide, QuPath and MISO read fast.

    µm per pixel come from --mpp, else from the Space Ranger folder, else from the slide's own tags; sources
    that disagree by more than 5 % are told. Pixels are neither turned nor resampled, so that spots stay where
    they are; transparency becomes white. Memory stays small whatever the size. The same output already there
    is kept; an interrupted run leaves nothing under that name.

    Example: `miso rewrite-slide --path-visium V1/outs --path-slide V1.tif --path-output-folder slides`

    Without Visium: `miso rewrite-slide --mpp 0.25 --path-slide scan.jpg --path-output-folder slides`
    """
    from miso.verbs._rewrite import rewrite_into

    rewrite_into(
        path_slide,
        path_output_folder,
        mpp=mpp,
        path_visium=path_visium,
        quality=quality,
        lossless=lossless,
    )
