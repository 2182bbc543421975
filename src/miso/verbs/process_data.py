"""`miso process-data`: one section of any vendor to a Sample."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import _options

NAME = "process-data"


def command(
    path_visium: Annotated[
        Path,
        typer.Option(
            "--path-visium",
            help="Space Ranger folder (any version, Visium HD too), legacy ST folder, .h5ad, "
            "SpatialData .zarr, or the original MISO's folder of .npy files.",
        ),
    ],
    path_output_folder: Annotated[
        Path, typer.Option("--path-output-folder", help="The Sample folder to write.")
    ],
    path_slide: Annotated[
        Path | None,
        typer.Option(
            "--path-slide",
            help="The full-resolution image that the spots were placed on, where the folder has none.",
        ),
    ] = None,
    encoder: _options.Encoder = "phikon",
    precision: _options.Precision = "auto",
    mpp: _options.Mpp = 0.5,
    level: _options.Level = None,
    tile_size: _options.TileSize = 224,
    knn: _options.Knn = 37,
    slide_mpp: Annotated[
        float | None,
        typer.Option("--slide-mpp", help="µm per pixel of the slide, if you know it better than the spots."),
    ] = None,
    bin_um: Annotated[
        float | None, typer.Option("--bin-um", help="Visium HD: side of the bins to take, 16 or 8.")
    ] = None,
    library: Annotated[
        str, typer.Option("--library", help="Which library of an aggregated run or of an .h5ad.")
    ] = "",
    duplicate_genes: Annotated[
        str, typer.Option("--duplicate-genes", help="Genes of one symbol: sum them, or make them unique.")
    ] = "sum",
    name: Annotated[str, typer.Option("--name", help="Name of the Sample; the output folder's.")] = "",
    patient: Annotated[str, typer.Option("--patient", help="Whose tissue it is; the Sample's name.")] = "",
    stain_norm: _options.StainNorm = "none",
    stain_reference: _options.StainReference = None,
    stain_augment: _options.StainAugment = None,
    off_image: _options.OffImage = "error",
    trust_alignment: _options.TrustAlignment = False,
    device: _options.Device = "auto",
) -> None:
    """Process one section: spots, counts and tiles to a Sample folder.

    Reads Space Ranger 1 to 4 (CytAssist and Visium HD too), legacy ST, .h5ad and SpatialData by their
    content, not by their names. µm per pixel come from the spot lattice; what disagrees is told. An image
    that the spots were not placed on is refused and named. Look at report.html in the Sample.
    The same command goes on after an interruption, and does nothing when the same Sample is there.

    Example: `miso process-data --path-visium S1/outs --path-slide S1.tif --path-output-folder samples/S1`
    """
    from miso.samples.ingest import IngestOptions
    from miso.samples.vendors.section import VendorOptions
    from miso.verbs._process import process_data, told
    from miso.verbs._process_options import ProcessOptions

    ingest = IngestOptions(
        tile_px=tile_size,
        mpp=mpp,
        level=level,
        slide_mpp=slide_mpp,
        off_image=off_image,  # type: ignore[arg-type]  # checked by ProcessOptions
        trust_alignment=trust_alignment,
    )
    vendor = VendorOptions(duplicate_genes=duplicate_genes, bin_um=bin_um, library=library)  # type: ignore[arg-type]
    made = process_data(
        path_visium,
        path_slide,
        path_output_folder,
        ProcessOptions(
            encoder=encoder,
            precision=precision,
            device=device,
            knn=knn,
            ingest=ingest,
            stain_norm=stain_norm,
            stain_reference=stain_reference,
            stain_augment=stain_augment,
        ),
        vendor,
        name=name,
        patient=patient,
    )
    told(made)
