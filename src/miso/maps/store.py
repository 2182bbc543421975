"""Writing a map: the Zarr layout, and the folder beside it in which the map grows and survives a kill."""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import zarr
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from miso.errors import MapError
from miso.launch.memory import room_bytes
from miso.launch.provenance import differences
from miso.maps.divided import WHOLE, Share, divide, turn
from miso.maps.expression_map import NOVELTY, STD, THUMBNAIL, VALUES, ExpressionMap, open_map
from miso.maps.header import MapHeader, essentials
from miso.maps.making import Making, going_on, is_finished, partial_of, put_in_place
from miso.maps.rows import Rows, RowWriter
from miso.maps.thumbnail import Thumbnail
from miso.storage.claim import Busy, claim

CHUNK_CELLS = 256 * 256
"""Cells of a chunk: one gene of 256 × 256, or flatter where a square would need too much memory."""
BUFFER_BYTES = 256 << 20
"""Finished rows are held until they fill a row of chunks, and chunks are flat enough for that to fit here."""
SHARD_GENES = 32
"""Genes that share a file, so that a map of many genes is not a hundred thousand files."""

Array = NDArray[np.float32]

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
    if is_finished(out, wanted):
        with turn(out):
            if is_finished(out, wanted):  # still: whoever made it died before it was renamed
                put_in_place(out)
    if not out.exists():
        return None
    found = open_map(out)
    if differing := differences(essentials(found.header), essentials(wanted)):
        raise MapError(f"{out} holds another map ({'; '.join(differing)}); remove it or choose another name")
    return found


class MapWriter:
    """Takes the rows of a band of a map from top to bottom, and keeps account of those that are safe.

    Attributes
    ----------
    vouch
        Returns the header that the finished map gets; asked only where the last band is finished.
    """

    def __init__(self, making: Making, band: int, header: MapHeader, rows: RowWriter) -> None:
        self._making, self._band, self._rows = making, band, rows
        self.vouch: Callable[[], MapHeader] = lambda: header

    @property
    def rows(self) -> tuple[int, int]:
        """The first row of the band, and the first below it."""
        return self._making.rows(self._band)

    @property
    def written(self) -> int:
        """Rows from the top of the map that are safe, by whatever attempt, or not the band's."""
        return self._rows.written

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.written >= self.rows[1]

    def put(self, first_row: int, rows: Sequence[Rows]) -> None:
        """Take rows of expression, and of its standard deviation and of novelty where the map has them."""
        before = self.written
        self._rows.put(first_row, rows)
        if self.written > before:
            self._making.note(self._band, self.written)

    def kept(self, name: str, make: Callable[[], Array]) -> Array:
        """Make an array that no two bands may differ in, or take that of the first who made it."""
        file = self._making.home / name
        if not file.is_file():
            own = file.with_name(f"{self._band}-{name}")  # others may be at it, also on other hosts
            np.save(own, make())
            try:
                file.hardlink_to(own)
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                own.replace(file)
            own.unlink(missing_ok=True)
        array: Array = np.load(file, allow_pickle=False)
        return array

    def close(self) -> None:
        """Write what is left."""
        if not self.done:
            self._rows.finish()
            self._making.note(self._band, self.written)


@contextmanager
def new_map(
    out: Path, header: MapHeader, thumbnail: Thumbnail, keep: Bool[NDArray[np.bool_], "row col"]
) -> Iterator[MapWriter]:
    """Write a map in a hidden folder beside `out`, and rename it once the block has ended well.

    An attempt that ended early is gone on with: `MapWriter.written` says from which row. The header is
    written last: a group without one is no map. Cells that are not in `keep` stay NaN.

    Raises
    ------
    Busy
        If another process makes it, or a band of it.
    """
    with claim(out):
        making = _begin(out, header, thumbnail, keep)
        try:
            with _writing(making, 0, header, keep) as writer:
                yield writer
                writer.close()
        except BaseException:
            if making.is_begun():
                log.info("%d of %d rows are kept: the same command goes on", making.written(0), len(keep))
            else:
                shutil.rmtree(making.folder)
            raise
        making.finish(out, writer.vouch())


@contextmanager
def new_band(
    out: Path,
    header: MapHeader,
    thumbnail: Thumbnail,
    keep: Bool[NDArray[np.bool_], "row col"],
    share: Share,
    middles: Int[NDArray[np.int64], " window"],
) -> Iterator[MapWriter]:
    """Write a band of a map as `new_map` does; who finishes the last one finishes the map.

    `middles` are the middle rows of the map's windows: bands have about as many each.

    Raises
    ------
    Busy
        If another process makes this band, or the map in one go.
    MapError
        If the map was begun in other bands.
    """
    with ExitStack() as held:
        with turn(out):
            making = _begin(out, header, thumbnail, keep, share, middles)
            held.enter_context(claim(share.place(out)))
        with _writing(making, share.index, header, keep) as writer:
            yield writer
            writer.close()
        with turn(out):
            if making.folder.exists() and making.is_done():
                making.finish(out, writer.vouch())


def _begin(
    out: Path,
    header: MapHeader,
    thumbnail: Thumbnail,
    keep: Bool[NDArray[np.bool_], "row col"],
    share: Share = WHOLE,
    middles: Int[NDArray[np.int64], " window"] | None = None,
) -> Making:
    """Find the same map in the making, or make its arrays; the caller has the right to."""
    if out.exists() and any(out.iterdir()):
        raise Busy(f"{out} was finished by another process at this moment")
    if (found := going_on(out, header, share.count)) is not None:
        return found
    partial_of(out).parent.mkdir(parents=True, exist_ok=True)
    group = zarr.create_group(partial_of(out))
    small = group.create_array(THUMBNAIL, data=thumbnail.rgb, dimension_names=("y", "x", "channel"))
    small.attrs["level0_px_per_px"] = list(thumbnail.step_xy)
    height = _create_arrays(group, header)
    edges = [0, len(keep)]
    if middles is not None:
        chunks = np.clip(middles, 0, len(keep) - 1) // height
        windows = np.bincount(chunks, minlength=-(-len(keep) // height)).astype(np.float64)
        edges = divide(windows, height, len(keep), share.count)
    return Making.begin(out, header, edges)


@contextmanager
def _writing(
    making: Making, band: int, header: MapHeader, keep: Bool[NDArray[np.bool_], "row col"]
) -> Iterator[MapWriter]:
    """Go on with a band; rows wait on disk where this process may not hold them."""
    group, written = zarr.open_group(making.folder, mode="r+"), making.written(band)
    if written > making.rows(band)[0]:
        log.info("going on after row %d", written)
    arrays = [array for name in (VALUES, STD, NOVELTY) if isinstance(array := group.get(name), zarr.Array)]
    waiting = 4 * sum(array.shape[0] * array.chunks[1] * array.shape[2] for array in arrays)
    room = room_bytes()
    spill = making.home if room is not None and waiting > room // 4 else None
    with closing(RowWriter(arrays, keep, written, making.rows(band)[1], spill)) as rows:
        yield MapWriter(making, band, header, rows)


def _create_arrays(group: zarr.Group, header: MapHeader) -> int:
    """Make the arrays; return how many rows their chunks have."""
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
    return chunk[0]
