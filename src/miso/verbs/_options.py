"""Options that the `process-*` commands share, each with its help."""

from pathlib import Path
from typing import Annotated

import typer

Encoder = Annotated[
    str,
    typer.Option(
        "--encoder",
        help="phikon, stain (embedded, no weights), hf:REPO-OR-FOLDER, timm:NAME; miso doctor lists them.",
    ),
]
Precision = Annotated[
    str, typer.Option("--precision", help="auto (bf16 where the device has it), fp32, bf16, or int8 (CPU).")
]
Mpp = Annotated[float, typer.Option("--mpp", help="Resolution of the tiles in µm per pixel.")]
Level = Annotated[
    int | None,
    typer.Option("--level", help="Read this pyramid level at its own resolution instead of --mpp."),
]
TileSize = Annotated[int, typer.Option("--tile-size", help="Side of a tile in pixels.")]
Knn = Annotated[int, typer.Option("--knn", help="Nearest spots stored for each spot, itself included.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
StainNorm = Annotated[
    str, typer.Option("--stain-norm", help="none, macenko or reinhard: bring slides to one stain first.")
]
StainReference = Annotated[
    Path | None,
    typer.Option("--stain-reference", help="The stain to bring them to: an image or a .json; built in."),
]
StainAugment = Annotated[
    int | None,
    typer.Option("--stain-augment", help="Seed of a random change of stain, for copies to train on."),
]
OffImage = Annotated[
    str, typer.Option("--off-image", help="error, or drop: what to do with spots off the image.")
]
TrustAlignment = Annotated[
    bool, typer.Option("--trust-alignment", help="Do not compare the image with the spots.")
]
