"""`miso add-table`: a table of numbers by spot beside a Sample's counts, to train on."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import console

NAME = "add-table"


def command(
    sample: Annotated[Path, typer.Argument(metavar="SAMPLE", help="A Sample folder.")],
    table: Annotated[
        Path, typer.Option("--table", help="CSV or TSV: barcodes in the first column, then a column a value.")
    ],
    name: Annotated[str, typer.Option("--name", help="What to call it: cell_types.")],
    units: Annotated[
        str, typer.Option("--units", help="Of its values: share of cells, ng/ml, …")
    ] = "as given",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Take a table that lacks more than half of the spots.")
    ] = False,
) -> None:
    """Add a table of any omics to a Sample: deconvolved cell types, proteins, pathway scores.

    `miso train … target=NAME` then learns its columns as it learns genes. Spots without a row teach nothing.

    Example: `miso add-table samples/A1 --table A1_cell_types.csv --name cell_types --units "share of cells"`
    """
    from miso.samples import open_sample
    from miso.samples.tables import add_table, open_table
    from miso.verbs._add_table import read_numbers

    opened = open_sample(sample)
    values = read_numbers(table)
    fresh = add_table(opened, name, values, units, allow_missing=allow_missing)
    if lacking := open_table(opened, name).lacking:
        console.tell(
            f"{len(lacking)} of {opened.n_spots} spots have no row and are left out of training and scores "
            f"({', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''})"
        )
    console.tell(
        f"{opened.name}: table {name!r} {'with' if fresh else 'already there,'} {values.shape[1]} columns; "
        f"train on it with target={name}"
    )
