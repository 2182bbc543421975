"""Writing a map: the Zarr layout, and the temporary name under which it grows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Bool
from numpy.typing import NDArray

from miso.errors import MapError
from miso.launch.atomic import write_path
from miso.launch.provenance import differences
from miso.maps.band import RowWriter
from miso.maps.expression_map import HEADER, THUMBNAIL, VALUES, ExpressionMap, open_map
from miso.maps.header import MapHeader, essentials
from miso.maps.thumbnail import Thumbnail

CHUNK_CELLS = 256 * 256
"""Cells of a chunk: one gene of 256 × 256, or flatter where a square would need too much memory."""
BUFFER_BYTES = 256 << 20
"""Finished rows are held until they fill a row of chunks, and chunks are flat enough for that to fit here."""
SHARD_GENES = 32
"""Genes that share a file, so that a map of many genes is not a hundred thousand files."""


def chunk_shape(n_genes: int, rows: int, columns: int) -> tuple[int, int]:
    """(rows, columns) of a chunk for a map of this shape."""
    affordable = BUFFER_BYTES // (4 * n_genes * columns)
    height = int(np.clip(2 ** (max(affordable, 1).bit_length() - 1), 16, 256))
    return min(height, rows), min(CHUNK_CELLS // height, columns)


def existing_map(out: Path, wanted: MapHeader) -> ExpressionMap | None:
    """Open the map at `out` if it is the one wanted; None if nothing is there.

    Raises
    ------
    MapError
        If something else is there; it says what differs.
    """
    if not out.exists():
        return None
    found = open_map(out)
    if differing := differences(essentials(found.header), essentials(wanted)):
        raise MapError(f"{out} holds another map ({'; '.join(differing)}); remove it or choose another name")
    return found


@contextmanager
def new_map(
    out: Path, header: MapHeader, thumbnail: Thumbnail, keep: Bool[NDArray[np.bool_], "row col"]
) -> Iterator[RowWriter]:
    """Write a map under a temporary name, and rename it once the block has ended well.

    The header is written last: a group without one is no map. Cells that are not in `keep` stay NaN.
    """
    with write_path(out) as partial:
        group = zarr.create_group(partial)
        small = group.create_array(THUMBNAIL, data=thumbnail.rgb, dimension_names=("y", "x", "channel"))
        small.attrs["level0_px_per_px"] = list(thumbnail.step_xy)
        writer = RowWriter(_create_values(group, header), keep)
        yield writer
        writer.close()
        group.attrs[HEADER] = header.to_json()


def _create_values(group: zarr.Group, header: MapHeader) -> zarr.Array[Any]:
    n_genes, (rows, columns) = len(header.genes), header.raster.shape
    chunk = chunk_shape(n_genes, rows, columns)
    return group.create_array(
        VALUES,
        shape=(n_genes, rows, columns),
        chunks=(1, *chunk),
        shards=(min(n_genes, SHARD_GENES), *chunk),
        dtype="float32",
        fill_value=float("nan"),
        dimension_names=("gene", "y", "x"),
    )
