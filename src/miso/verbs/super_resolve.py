"""`miso super-resolve`: a super-resolved map of any slide."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import console

NAME = "super-resolve"


def command(
    run: Annotated[
        Path,
        typer.Argument(help="A run of students (distil), a fold, a checkpoint, a bundle, hf:owner/model."),
    ],
    slide: Annotated[Path, typer.Option("--slide", help="Any image that MISO reads; no spots are needed.")],
    out: Annotated[Path, typer.Option("--out", help="The map to write, e.g. map.zarr.")],
    genes: Annotated[str, typer.Option("--genes", help="Genes to map, e.g. KRT8,CD3D; all by default.")] = "",
    stride: Annotated[
        int, typer.Option("--stride", help="Distance of tiles in pixels; half a tile blends four.")
    ] = 112,
    mpp: Annotated[
        float | None, typer.Option("--mpp", help="µm per pixel of the slide, where it does not say.")
    ] = None,
    tissue: Annotated[str, typer.Option("--tissue", help="detect, or all for the glass too.")] = "detect",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    in_sample: Annotated[
        bool, typer.Option("--in-sample", help="Let folds speak of a slide that they were trained on.")
    ] = False,
) -> None:
    """Paint expression over a whole slide, one value a patch (8 µm for stain and phikon).

    The µm per pixel come from --mpp, from the run when the slide is one of its cohort, or from the slide's
    tags. A slide of the run's cohort is mapped only by the folds that held it out.

    Example: `miso super-resolve runs/distil --slide C5.jpg --genes ERBB2,FASN,KRT8 --out maps/C5.zarr`
    """
    from miso.verbs._super_resolve import map_slide

    wanted = [gene.strip() for gene in genes.split(",") if gene.strip()] or None
    made = map_slide(
        run,
        slide,
        out,
        genes=wanted,
        stride=stride,
        mpp=mpp,
        tissue=tissue,
        device=device,
        in_sample=in_sample,
    )
    rows, columns = made.raster.shape
    console.tell(
        f"{out}: {len(made.genes)} genes × {rows} × {columns} cells of {made.pitch_um:.3g} µm "
        f"({made.units}); draw one with: miso plot {out} --gene {made.genes[0]} --out {made.genes[0]}.png"
    )
