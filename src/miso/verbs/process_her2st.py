"""`miso process-her2st`: a HER2ST folder to Samples."""

from pathlib import Path
from typing import Annotated

import typer

NAME = "process-her2st"


def command(
    path_dataset: Annotated[
        Path,
        typer.Option("--path-dataset", help="Folder with count-matrices, images/HE and spot-selections."),
    ],
    samples: Annotated[
        str, typer.Option("--samples", help="Sections to take, e.g. C2,C3; all by default.")
    ] = "",
    encoder: Annotated[
        str, typer.Option("--encoder", help="phikon, stain (embedded, no weights), hf:<repo or folder>.")
    ] = "phikon",
    mpp: Annotated[float, typer.Option("--mpp", help="Resolution of the tiles in µm per pixel.")] = 0.5,
    level: Annotated[
        int | None,
        typer.Option("--level", help="Read this pyramid level at its own resolution instead of --mpp."),
    ] = None,
    tile_size: Annotated[int, typer.Option("--tile-size", help="Side of a tile in pixels.")] = 224,
    knn: Annotated[
        int, typer.Option("--knn", help="Nearest spots stored for each spot, itself included.")
    ] = 37,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Process the HER2ST dataset (legacy Spatial Transcriptomics).

    Writes one Sample folder a section into PATH_DATASET/processed_data and nothing else. µm per pixel come
    from the 200 µm lattice of the array. A section that is already processed the same way is skipped; the
    same command goes on after an interruption.

    Example: `miso process-her2st --path-dataset her2st --encoder stain`
    """
    from miso.verbs._process import EncoderOptions, process_her2st_folder

    options = EncoderOptions(
        encoder=encoder, mpp=mpp, level=level, tile_size=tile_size, knn=knn, device=device
    )
    report = process_her2st_folder(
        path_dataset, [name.strip() for name in samples.split(",") if name.strip()], options
    )
    if report.exit_code:
        raise typer.Exit(report.exit_code)
