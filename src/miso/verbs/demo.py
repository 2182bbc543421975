"""`miso demo`: the whole road on a synthetic cohort whose answer is known."""

from pathlib import Path
from typing import Annotated

import typer

NAME = "demo"


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything the demo makes.")] = Path(
        "miso-demo"
    ),
    seed: Annotated[int, typer.Option("--seed", help="Another number, another cohort.")] = 0,
) -> None:
    """Walk the whole road offline, in about three minutes: process, train, distil, super-resolve, score.

    The cohort is synthetic, with four patients of two sections each: H&E-like pictures whose expression
    follows from the cells drawn, some genes that the picture says nothing of, and the noiseless truth of
    every 8 µm patch. One patient is held out. Everything lands in OUT; the same command again goes on
    where it was.
    """
    from miso.verbs._demo import walk

    walk(out, seed)
