"""A legacy Spatial Transcriptomics sample: `counts.tsv`, `spots.tsv` and an image in one folder."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from miso.phantom.cohort import Section
from miso.phantom.layouts.her2st import counts_table, spots_table
from miso.phantom.layouts.layout import Delivery, Piece
from miso.phantom.layouts.pictures import full_picture


def pieces(section: Section, delivery: Delivery) -> Iterator[Piece]:
    """Write plain tables and a picture; the array's positions are whole and as found."""
    counts, spots = counts_table(section), spots_table(section)
    yield f"{section.name}/counts.tsv", lambda path: _write_text(path, counts, index=True)
    yield f"{section.name}/spots.tsv", lambda path: _write_text(path, spots, index=False)
    yield full_picture(section, delivery, f"{section.name}/image")


def _write_text(path: Path, table: pd.DataFrame, *, index: bool) -> None:
    table.to_csv(path, sep="\t", index=index)
