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
    passes: Annotated[
        int | None,
        typer.Option(
            "--passes",
            help="Times over the slide: 1, 2 (the default), 4 or 16. More is slower, smoother and sharper.",
        ),
    ] = None,
    seams: Annotated[
        str | None,
        typer.Option(
            "--seams", help="How tiles meet: shifted (the default), overlap, wide (larger windows) or none."
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option("--stride", help="Overlap tiles at this distance instead: a divisor of 224, e.g. 112."),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option("--mpp", help="µm per pixel of the slide, where it does not say.")
    ] = None,
    tissue: Annotated[str, typer.Option("--tissue", help="detect, or all for the glass too.")] = "detect",
    region: Annotated[
        Path | None,
        typer.Option("--region", help="Map what lies in these polygons (GeoJSON, as QuPath exports them)."),
    ] = None,
    std: Annotated[
        bool, typer.Option("--std/--no-std", help="Keep spread and novelty too; doubles the file.")
    ] = True,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    in_sample: Annotated[
        bool, typer.Option("--in-sample", help="Let folds speak of a slide that they were trained on.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write a page of the map beside it (.html).")
    ] = True,
) -> None:
    """Paint expression over a whole slide, one value a half patch (4 µm for stain and phikon).

    The µm per pixel come from --mpp, from the run when the slide is one of its cohort, or from the slide's
    tags. A slide of the run's cohort is mapped only by the folds that held it out. Interrupted, the same
    command goes on where it was.

    Example: `miso super-resolve runs/distil --slide C5.jpg --genes ERBB2,FASN,KRT8 --out maps/C5.zarr`
    """
    from miso.verbs._super_resolve import map_slide, unlike_training

    wanted = [gene.strip() for gene in genes.split(",") if gene.strip()] or None
    made = map_slide(
        run,
        slide,
        out,
        genes=wanted,
        seams=seams,
        stride=stride,
        passes=passes,
        mpp=mpp,
        tissue=tissue,
        region=region,
        std=std,
        device=device,
        in_sample=in_sample,
        report=report,
    )
    rows, columns = made.raster.shape
    if warning := unlike_training(made):
        console.tell(warning)
    console.tell(
        f"{out}: {len(made.genes)} genes × {rows} × {columns} cells of {made.pitch_um:.3g} µm "
        f"({made.units}); draw one with: miso plot {out} --gene {made.genes[0]} --out {made.genes[0]}.png"
    )
