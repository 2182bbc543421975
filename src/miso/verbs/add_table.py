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
) -> None:
    """Add a table of any omics to a Sample: deconvolved cell types, proteins, pathway scores.

    `miso train … target=NAME` then learns its columns as it learns genes.

    Example: `miso add-table samples/A1 --table A1_cell_types.csv --name cell_types --units "share of cells"`
    """
    from miso.samples import open_sample
    from miso.samples.tables import add_table
    from miso.verbs._add_table import read_numbers

    opened = open_sample(sample)
    values = read_numbers(table)
    fresh = add_table(opened, name, values, units)
    console.tell(
        f"{opened.name}: table {name!r} {'with' if fresh else 'already there,'} {values.shape[1]} columns; "
        f"train on it with target={name}"
    )
