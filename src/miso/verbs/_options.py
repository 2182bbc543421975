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
Engine = Annotated[
    str,
    typer.Option("--launch", help="local, or ray: on a Ray cluster (pip install 'miso-spatial[cluster]')."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Units at a time, each in a process of its own that may crash without harm. By default one "
        "after another (local), or as many as the cluster holds (ray).",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", help="Head of the Ray cluster, host:port; by default RAY_ADDRESS, or this machine."
    ),
]
Cpus = Annotated[
    float | None, typer.Option("--cpus", help="Cores a worker takes; a fair share of this machine's.")
]
Gpus = Annotated[float, typer.Option("--gpus", help="GPUs a worker takes on a cluster; 0.5 shares one.")]
Memory = Annotated[
    str | None,
    typer.Option("--memory", help="What a process may hold, e.g. 4GB; readers and batches keep to it."),
]
Deadline = Annotated[
    float | None,
    typer.Option(
        "--deadline", help="Seconds after which a unit is given up and its process ended, loading included."
    ),
]
Retries = Annotated[
    int, typer.Option("--retries", help="How often a unit is begun again whose process died.")
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder for copies of what lies at URLs (s3://…), while they are needed."),
]
