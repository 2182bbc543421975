"""`miso export`: what MISO made, in other tools' formats."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import console

NAME = "export"


def command(
    path: Annotated[Path, typer.Argument(metavar="SAMPLE", help="A Sample folder.")],
    to: Annotated[
        str, typer.Option("--to", help="miso-npy: the original MISO's folder of .npy files (Visium's way).")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
) -> None:
    """Write a Sample as the files that the original MISO trains on.

    `features.npy` and `features_subtile.npy` (level, x, y and the features), `neighbors.npy`,
    `barcodes.npy` and `raw_reads/`; no file needs a pickle to be read.

    Example: `miso export samples/S1 --to miso-npy --out original/S1`
    """
    from miso.errors import ConfigError
    from miso.samples import open_sample
    from miso.samples.vendors.original.export import export_original

    if to != "miso-npy":
        raise ConfigError(f"--to is miso-npy, not {to!r}")
    export_original(open_sample(path), out, flavour="visium")
    console.tell(f"{out}")
