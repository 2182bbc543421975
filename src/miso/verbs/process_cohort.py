"""`miso process-cohort`: a table of sections to Samples."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import _options

NAME = "process-cohort"


def command(
    table: Annotated[
        Path,
        typer.Argument(help="CSV with the columns path, slide, name, patient, slide_mpp, bin_um, library."),
    ],
    out: Annotated[
        str, typer.Option("--out", help="Folder for the Samples, or a URL such as s3://bucket/samples.")
    ],
    samples: Annotated[
        str, typer.Option("--samples", help="Names of the sections to take, e.g. S1,S2; all by default.")
    ] = "",
    encoder: _options.Encoder = "phikon",
    precision: _options.Precision = "auto",
    mpp: _options.Mpp = 0.5,
    level: _options.Level = None,
    tile_size: _options.TileSize = 224,
    knn: _options.Knn = 37,
    duplicate_genes: Annotated[
        str, typer.Option("--duplicate-genes", help="Genes of one symbol: sum them, or make them unique.")
    ] = "sum",
    stain_norm: _options.StainNorm = "none",
    stain_reference: _options.StainReference = None,
    stain_augment: _options.StainAugment = None,
    off_image: _options.OffImage = "error",
    trust_alignment: _options.TrustAlignment = False,
    device: _options.Device = "auto",
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
    """Process many sections, of any vendors: one Sample folder a row of a table.

    Only path is needed: what process-data takes as --path-visium; slide is its --path-slide. Paths are
    relative to the table; paths and --out may be URLs (s3://…). Each section is a unit of its own: one that
    is broken, crashes, hangs or loses its machine does not harm the others. What is there already is skipped;
    the same command goes on after an interruption, and several may work on one --out.

    `run_report.json` says what became of each, `failed.csv` is the table of those that failed, and the
    command ends with code 3 if some did.

    Example: `miso process-cohort sections.csv --out samples --workers 4`
    """
    from miso.samples.ingest import IngestOptions
    from miso.storage.fetched import cache_folder
    from miso.verbs._batch import read_launch
    from miso.verbs._process_batch import process_cohort
    from miso.verbs._process_options import ProcessOptions

    options = ProcessOptions(
        encoder=encoder,
        precision=precision,
        device=device,
        knn=knn,
        ingest=IngestOptions(
            tile_px=tile_size,
            mpp=mpp,
            level=level,
            off_image=off_image,  # type: ignore[arg-type]  # checked by ProcessOptions
            trust_alignment=trust_alignment,
        ),
        stain_norm=stain_norm,
        stain_reference=stain_reference,
        stain_augment=stain_augment,
    )
    at_once = (
        1 if workers is None and launch == "local" else workers
    )  # in a process of its own, even if alone
    report = process_cohort(
        table,
        out,
        [name.strip() for name in samples.split(",") if name.strip()],
        options,
        duplicate_genes,
        read_launch(launch, at_once, address, cpus, gpus, memory, deadline, retries),
        cache_folder(cache),
    )
    if report.exit_code:
        raise typer.Exit(report.exit_code)
