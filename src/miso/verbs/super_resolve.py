"""`miso super-resolve`: a super-resolved map of any slide."""

from pathlib import Path
from typing import Annotated

import typer

from miso.errors import ConfigError
from miso.verbs import _options

NAME = "super-resolve"


def command(
    run: Annotated[
        str,
        typer.Argument(help="A run of students (distil), a fold, a checkpoint, a bundle, hf:owner/model."),
    ],
    out: Annotated[
        str,
        typer.Option("--out", help="The map to write, e.g. map.zarr; with --slides a folder or URL."),
    ],
    slide: Annotated[
        Path | None, typer.Option("--slide", help="Any image that MISO reads; no spots are needed.")
    ] = None,
    slides: Annotated[
        Path | None,
        typer.Option("--slides", help="Many of them: a CSV with the columns slide, name, mpp, region."),
    ] = None,
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
    bands: Annotated[
        int,
        typer.Option("--bands", help="Split one giant slide into so many units, for --workers or a cluster."),
    ] = 1,
    launch: _options.Engine = "local",
    workers: _options.Workers = None,
    address: _options.Address = None,
    cpus: _options.Cpus = None,
    gpus: _options.Gpus = 0,
    memory: _options.Memory = None,
    deadline: _options.Deadline = None,
    retries: _options.Retries = 2,
    cache: _options.Cache = None,
) -> None:
    """Paint expression over whole slides, one value a half patch (4 µm for stain and phikon).

    The µm per pixel come from --mpp, from the run when the slide is one of its cohort, or from the slide's
    tags. A slide of the run's cohort is mapped only by the folds that held it out. Interrupted, the same
    command goes on where it was.

    One giant slide goes in --bands N to N workers, and comes to the same map.
    With --slides each slide is a unit of its own, on --workers or a Ray cluster: what fails does not harm the
    others, run_report.json says what became of each, failed.csv lists what failed, and the exit code is 3.

    Example: `miso super-resolve runs/distil --slide C5.jpg --genes ERBB2,FASN,KRT8 --out maps/C5.zarr`
    """
    from miso.storage.fetched import cache_folder
    from miso.storage.remote import is_url
    from miso.verbs._batch import read_launch
    from miso.verbs._super_resolve import MapOptions
    from miso.verbs._super_resolve_batch import map_slide, map_slides

    options = MapOptions(
        genes=tuple(gene.strip() for gene in genes.split(",") if gene.strip()) or None,
        seams=seams,
        stride=stride,
        passes=passes,
        tissue=tissue,
        std=std,
        device=device,
        in_sample=in_sample,
        report=report,
    )
    how = read_launch(launch, workers, address, cpus, gpus, memory, deadline, retries)
    if (slide is None) == (slides is None):
        raise ConfigError("name one slide by --slide, or a table of many by --slides")
    if bands < 1 or (bands > 1 and (slide is None or not how.apart)):
        raise ConfigError(f"--bands {bands} splits one slide over workers: pass --slide, and --workers too")
    if slide is not None and is_url(out):
        raise ConfigError("one slide is mapped to a path; with a table (--slides) --out may be a URL")
    if slide is not None:
        done = map_slide(run, slide, Path(out), mpp, region, options, how, bands, cache_folder(cache))
        if done.exit_code:
            raise typer.Exit(done.exit_code)
        return
    if mpp is not None or region is not None:
        raise ConfigError("with --slides, µm per pixel and regions are columns of the table: mpp, region")
    assert slides is not None
    done = map_slides(run, slides, out, options, how, cache_folder(cache))
    if done.exit_code:
        raise typer.Exit(done.exit_code)
