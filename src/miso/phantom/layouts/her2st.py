"""HER2ST as it is downloaded: count matrices, pictures and spot selections in a folder each, by section."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from miso.phantom.cohort import Section
from miso.phantom.layouts.layout import Delivery, Piece
from miso.phantom.layouts.pictures import full_picture

FOLDERS = ("count-matrices", "images", "spot-selections")


def pieces(section: Section, delivery: Delivery) -> Iterator[Piece]:
    """Write a table of counts, a table of selected spots and a picture."""
    counts, spots = counts_table(section), spots_table(section).assign(selected=1)
    yield f"count-matrices/{section.name}.tsv.gz", partial(_write_gzip, table=counts, index=True)
    yield f"spot-selections/{section.name}_selection.tsv.gz", partial(_write_gzip, table=spots, index=False)
    yield full_picture(section, delivery, f"images/HE/{section.name}")


def counts_table(section: Section) -> pd.DataFrame:
    """Molecules with a row a counted spot, named as `10x31`, and a column a symbol."""
    names = np.array(section.spots.names)[section.counted]
    return pd.DataFrame(section.counts[section.counted], index=names, columns=list(section.truth.genes))


def spots_table(section: Section) -> pd.DataFrame:
    """Array positions, whole and as found, and level-0 pixels of every spot on tissue."""
    spots = section.spots
    return pd.DataFrame(
        {
            "x": spots.array_xy[:, 0],
            "y": spots.array_xy[:, 1],
            "new_x": spots.refined_xy[:, 0].round(3),
            "new_y": spots.refined_xy[:, 1].round(3),
            "pixel_x": spots.center_xy[:, 0].round(2),
            "pixel_y": spots.center_xy[:, 1].round(2),
        }
    )


def _write_gzip(path: Path, table: pd.DataFrame, *, index: bool) -> None:
    compression = {"method": "gzip", "compresslevel": 6, "mtime": 0}
    table.to_csv(path, sep="\t", index=index, compression=compression)
