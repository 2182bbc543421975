"""`miso import-checkpoint`: a checkpoint of the original MISO, teacher or student, as a Checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import console

NAME = "import-checkpoint"


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE.pth", help="A state dict, as torch.save wrote it.")],
    genes: Annotated[str, typer.Option("--genes", help="The gene list it was trained with, in its order.")],
    encoder: Annotated[
        str, typer.Option("--encoder", help="The encoder it was trained with: h0-mini, or name@revision.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The Checkpoint folder to write.")],
    heads: Annotated[int, typer.Option("--heads", help="Attention heads; the file does not say.")] = 64,
    knn: Annotated[int, typer.Option("--knn", help="Nearest spots it attends to, the spot included.")] = 37,
    tile_size: Annotated[int, typer.Option("--tile-size", help="Side of its tiles in pixels.")] = 224,
    mpp: Annotated[float, typer.Option("--mpp", help="µm per pixel of its tiles.")] = 0.5,
    target: Annotated[str, typer.Option("--target", help="What it was trained on: raw, log1p, …")] = "raw",
    spot_diameter: Annotated[
        float, typer.Option("--spot-diameter-um", help="Diameter of its training data's spots.")
    ] = 55.0,
    patch_px: Annotated[
        int | None, typer.Option("--patch-px", help="Side of a patch; known for named encoders.")
    ] = None,
) -> None:
    """Turn a checkpoint of the original MISO into a Checkpoint; nothing in the file can run.

    Genes and encoder are not in the file: what can be checked of them is, and the rest is as you say.

    Example: `miso import-checkpoint model.pth --genes genes.txt --encoder h0-mini --out models/original`
    """
    from miso.verbs._import_checkpoint import import_file

    made, fresh = import_file(
        file,
        genes,
        encoder,
        out,
        heads=heads,
        knn=knn,
        tile_size=tile_size,
        mpp=mpp,
        target=target,
        spot_diameter_um=spot_diameter,
        patch_px=patch_px,
    )
    kind = "student" if made.kind == "patch" else "teacher"
    console.tell(
        f"{out}: {'' if fresh else 'already there, '}a {kind} of {len(made.genes)} genes on {made.encoder} "
        f"({made.in_dim} numbers), {made.units}"
    )
