"""`miso process-her2st`: a HER2ST folder to Samples."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import _options

NAME = "process-her2st"


def command(
    path_dataset: Annotated[
        Path,
        typer.Option("--path-dataset", help="Folder with count-matrices, images/HE and spot-selections."),
    ],
    samples: Annotated[
        str, typer.Option("--samples", help="Sections to take, e.g. C2,C3; all by default.")
    ] = "",
    encoder: _options.Encoder = "phikon",
    precision: _options.Precision = "auto",
    mpp: _options.Mpp = 0.5,
    level: _options.Level = None,
    tile_size: _options.TileSize = 224,
    knn: _options.Knn = 37,
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
) -> None:
    """Process the HER2ST dataset (legacy Spatial Transcriptomics).

    Writes one Sample folder a section into PATH_DATASET/processed_data, beside them report.html to look at,
    and nothing else. µm per pixel come from the 200 µm lattice of the array. A section that is already
    processed the same way is skipped; the same command goes on after an interruption.

    Example: `miso process-her2st --path-dataset her2st --encoder stain`
    """
    from miso.samples.ingest import IngestOptions
    from miso.verbs._batch import read_launch
    from miso.verbs._process_batch import process_her2st_folder
    from miso.verbs._process_options import ProcessOptions

    ingest = IngestOptions(
        tile_px=tile_size,
        mpp=mpp,
        level=level,
        off_image=off_image,  # type: ignore[arg-type]  # checked by ProcessOptions
        trust_alignment=trust_alignment,
    )
    options = ProcessOptions(
        encoder=encoder,
        precision=precision,
        device=device,
        knn=knn,
        ingest=ingest,
        stain_norm=stain_norm,
        stain_reference=stain_reference,
        stain_augment=stain_augment,
    )
    report = process_her2st_folder(
        path_dataset,
        [name.strip() for name in samples.split(",") if name.strip()],
        options,
        read_launch(launch, workers, address, cpus, gpus, memory, deadline, retries),
    )
    if report.exit_code:
        raise typer.Exit(report.exit_code)
