"""Writing a map: the Zarr layout, and the folder beside it in which the map grows and survives a kill."""

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Bool
from numpy.typing import NDArray

from miso.errors import MapError
from miso.launch.atomic import replace_folder, write_path
from miso.launch.provenance import differences
from miso.maps.expression_map import HEADER, NOVELTY, STD, THUMBNAIL, VALUES, ExpressionMap, open_map
from miso.maps.header import MapHeader, essentials
from miso.maps.rows import Rows, RowWriter
from miso.maps.thumbnail import Thumbnail

CHUNK_CELLS = 256 * 256
"""Cells of a chunk: one gene of 256 × 256, or flatter where a square would need too much memory."""
BUFFER_BYTES = 256 << 20
"""Finished rows are held until they fill a row of chunks, and chunks are flat enough for that to fit here."""
SHARD_GENES = 32
"""Genes that share a file, so that a map of many genes is not a hundred thousand files."""
MAKING = "making.json"
"""Inside an unfinished map: what it is to be, and how many of its rows are done."""

log = logging.getLogger(__name__)


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


class MapWriter:
    """Takes the rows of a map from top to bottom, and keeps account of those that are safe."""

    def __init__(self, folder: Path, header: MapHeader, rows: RowWriter) -> None:
        self._folder, self._header, self._rows = folder, header, rows

    @property
    def written(self) -> int:
        """Rows that are done, by this attempt or an earlier one."""
        return self._rows.written

    def put(self, first_row: int, rows: Sequence[Rows]) -> None:
        """Take rows of expression, and of its standard deviation and of novelty where the map has them."""
        before = self.written
        self._rows.put(first_row, rows)
        if self.written > before:
            _note(self._folder, self._header, self.written)

    def close(self) -> None:
        """Write what is left."""
        self._rows.close()


@contextmanager
def new_map(
    out: Path, header: MapHeader, thumbnail: Thumbnail, keep: Bool[NDArray[np.bool_], "row col"]
) -> Iterator[MapWriter]:
    """Write a map in a hidden folder beside `out`, and rename it once the block has ended well.

    An attempt that ended early is gone on with: `MapWriter.written` says from which row. The header is
    written last: a group without one is no map. Cells that are not in `keep` stay NaN.
    """
    folder = out.with_name(f".{out.name}.partial")
    group, written = _begin(folder, header, thumbnail)
    arrays = [array for name in (VALUES, STD, NOVELTY) if isinstance(array := group.get(name), zarr.Array)]
    writer = MapWriter(folder, header, RowWriter(arrays, keep, written))
    try:
        yield writer
        writer.close()
    except BaseException:
        if not writer.written:
            shutil.rmtree(folder)
        else:
            log.info("%d of %d rows are kept: the same command goes on", writer.written, len(keep))
        raise
    group.attrs[HEADER] = header.to_json()
    (folder / MAKING).unlink()
    replace_folder(folder, out)


def _begin(folder: Path, header: MapHeader, thumbnail: Thumbnail) -> tuple[zarr.Group, int]:
    """Open an unfinished map of the same making, and say how many of its rows are done; or make a new one."""
    if (folder / MAKING).is_file():
        making = json.loads((folder / MAKING).read_text())
        if making["map"] == _plain(header):
            log.info("going on after row %d", making["written"])
            return zarr.open_group(folder, mode="r+"), int(making["written"])
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.create_group(folder)
    small = group.create_array(THUMBNAIL, data=thumbnail.rgb, dimension_names=("y", "x", "channel"))
    small.attrs["level0_px_per_px"] = list(thumbnail.step_xy)
    _create_arrays(group, header)
    _note(folder, header, 0)
    return group, 0


def _note(folder: Path, header: MapHeader, written: int) -> None:
    with write_path(folder / MAKING) as temporary:
        temporary.write_text(json.dumps({"map": _plain(header), "written": written}))


def _plain(header: MapHeader) -> Any:
    return json.loads(json.dumps(essentials(header)))


def _create_arrays(group: zarr.Group, header: MapHeader) -> None:
    n_genes, (rows, columns) = len(header.genes), header.raster.shape
    kinds = {VALUES: n_genes, STD: n_genes} if header.has_std else {VALUES: n_genes}
    chunk = chunk_shape(sum(kinds.values()), rows, columns)
    for name, planes in {**kinds, NOVELTY: 1}.items() if header.has_novelty else kinds.items():
        group.create_array(
            name,
            shape=(planes, rows, columns),
            chunks=(1, *chunk),
            shards=(min(planes, SHARD_GENES), *chunk),
            dtype="float32",
            fill_value=float("nan"),
            dimension_names=("gene" if name != NOVELTY else "tile", "y", "x"),
        )
