"""Tile and patch features of the tiles around given centres: batched, read ahead, resumable by shard."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from miso.encoders import Encoder, load_encoder
from miso.errors import EncoderError
from miso.geometry import PatchGrid, TileSpec, level_origin_xy
from miso.launch.ahead import map_ahead
from miso.launch.memory import affordable, require
from miso.launch.progress import Track, silent
from miso.samples.shards import RowFile, ShardStore
from miso.slides import Slide

SHARD, BATCH = 64, 16
"""Tiles that are made safe, and after a kill redone, at a time; and tiles an encoder sees at a time."""
GPU_SHARD, GPU_BATCH = 1024, 64
"""The same where the encoder is on an accelerator: some seconds' work, and what keeps it busy."""
MOST_READERS = 16
UNWRITTEN = 3
"""Batches that may wait for the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Files of features, one row a centre, in the centres' order; `stain` are the colour baseline's.

    `journal` names the finished shards: while it and the three arrays are there, nothing is computed again.
    """

    tiles: Path
    stain: Path
    patches: Path
    journal: Path


def extract_features(
    slide: Slide,
    encoder: Encoder,
    center_xy: Float[NDArray[np.float64], "spot 2"],
    tile: TileSpec,
    folder: Path,
    key: str,
    track: Track = silent,
    level: int | None = None,
) -> Features:
    """Encode the tile about each centre into tile features (float32) and patch features (float16).

    The tile features of the embedded `stain` encoder are kept too, for the baseline that every result needs.

    Parameters
    ----------
    center_xy
        Tile centres in level-0 pixels; a tile that reaches off the slide is white there.
    folder
        Where the three files and the journal of finished shards are kept.
    key
        Names the inputs and settings: shards finished under the same key are kept, others are redone.
    level
        Read the tiles from this pyramid level, from whole level-0 pixels on; see `geometry.level_origin_xy`.

    Raises
    ------
    EncoderError
        If a feature is not finite, or beyond the range of float16.
    MisoError
        If this process may not hold what that takes (`miso.launch.memory`).
    OSError
        If the disk is full or cannot be written to.
    """
    on_gpu = encoder.device.type != "cpu"
    shard, batch = (GPU_SHARD, GPU_BATCH) if on_gpu else (SHARD, BATCH)
    stain = load_encoder("stain")
    stain.module.to(encoder.device)
    require(0, f"encoding {slide.path.name}")
    files, arrays = _layout(
        folder, len(center_xy), encoder, PatchGrid(tile=tile, patch_px=encoder.patch_px), stain
    )
    how = {"key": key, "batch": batch, "device": encoder.device.type, "arithmetic": encoder.arithmetic}
    with ShardStore(arrays, files.journal, how, shard) as store:
        spans = [
            (start, min(start + batch, first + shard, len(center_xy)))
            for first in store.missing()
            for start in range(first, min(first + shard, len(center_xy)), batch)
        ]
        pinned = encoder.device.type == "cuda"
        read = partial(_read, slide, tile, center_xy, pinned=pinned, level=level)
        readers = affordable(reader_count(on_gpu=on_gpu), 2 * 3 * tile.size_px**2 * batch)
        batches = map_ahead(read, spans, workers=readers)
        waiting = affordable(UNWRITTEN, batch * sum(array.row_bytes for array in arrays))
        with closing(batches), _Writer(store, waiting) as writer:
            for start, images in track(batches, len(spans), f"encoding {slide.path.name}"):
                writer.put(start, _encode(encoder, stain, images))
    return files


def reader_count(*, on_gpu: bool) -> int:
    """How many threads read tiles: all but one of this process's CPUs for a GPU, few beside a CPU encoder."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus - 1, MOST_READERS) if on_gpu else min(cpus // 2, 4))


def sample_tiles(
    slide: Slide, center_xy: Float[NDArray[np.float64], "spot 2"], tile: TileSpec, count: int = 8
) -> UInt8[Tensor, "tile height width 3"]:
    """Read the tiles of some centres, spread evenly over their list."""
    chosen = np.linspace(0, len(center_xy) - 1, min(count, len(center_xy))).round().astype(int)
    return _read(slide, tile, center_xy[chosen], (0, len(chosen)), pinned=False)[1]


def _read(
    slide: Slide,
    tile: TileSpec,
    center_xy: Float[NDArray[np.float64], "spot 2"],
    span: tuple[int, int],
    *,
    pinned: bool,
    level: int | None = None,
) -> tuple[int, UInt8[Tensor, "tile height width 3"]]:
    """Read the tiles of the centres [start, stop), into memory that a GPU can copy from by itself."""
    start, stop = span
    size = (tile.size_px, tile.size_px)
    if level is None:
        origins = tile.origin_xy(center_xy[start:stop], slide.mpp)
        tiles = [slide.read((x, y), size, tile.mpp) for x, y in origins]
    else:
        corners = level_origin_xy(center_xy[start:stop], tile.size_px * slide.levels[level].downsample)
        tiles = [slide.read_level((int(x), int(y)), size, level) for x, y in corners]
    images = torch.from_numpy(np.stack(tiles))
    return start, images.pin_memory() if pinned else images


class _Rows(NamedTuple):
    """Features of a batch, in or on their way to the CPU's memory; `ready` waits for them."""

    tiles: Float[Tensor, "tile tile_dim"]
    stain: Float[Tensor, "tile stain_dim"]
    patches: Float[Tensor, "tile patch patch_dim"]  # float16
    ready: Callable[[], None]


def _encode(encoder: Encoder, stain: Encoder, images: UInt8[Tensor, "tile height width 3"]) -> _Rows:
    images = images.to(encoder.device, non_blocking=True)
    tokens = encoder.encode(images)
    colour = tokens.cls if encoder.id == stain.id else stain.encode(images).cls
    parts = (tokens.cls, colour, tokens.patches.half())
    alone = encoder.device.type == "cuda"  # which copies by itself, into memory that cannot be swapped
    tiles, stains, patches = (part.to("cpu", non_blocking=alone) for part in parts)
    if not alone:
        return _Rows(tiles, stains, patches, ready=lambda: None)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()
    return _Rows(tiles, stains, patches, ready=copied.synchronize)


class _Writer:
    """A thread that writes batches while the next are encoded; it catches up at the end of each shard.

    So a kill costs one shard at most.
    """

    def __init__(self, store: ShardStore, waiting: int = UNWRITTEN) -> None:
        self._store, self._waiting = store, waiting
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write")
        self._pending: deque[Future[None]] = deque()

    def put(self, start: int, rows: _Rows) -> None:
        """Write rows soon."""
        self._pending.append(self._thread.submit(self._write, start, rows))
        allowed = 0 if self._store.ends_shard(start + len(rows.tiles)) else self._waiting
        while len(self._pending) > allowed:
            self._pending.popleft().result()

    def _write(self, start: int, rows: _Rows) -> None:
        rows.ready()
        arrays = [rows.tiles.numpy(), rows.stain.numpy(), rows.patches.numpy()]
        _check_finite(start, arrays[2])
        self._store.put(start, arrays)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)


def _check_finite(start: int, patches: NDArray[np.float16]) -> None:
    """Refuse infinities and NaN, which have all exponent bits set; tile by tile, to hold little."""
    if any(((tile.view(np.uint16) & 0x7C00) == 0x7C00).any() for tile in patches):
        raise EncoderError(
            f"patch features of spots {start} to {start + len(patches) - 1} are not finite, or beyond the "
            "65,504 that float16 holds; try --precision fp32, or other weights"
        )


def _layout(
    folder: Path, rows: int, encoder: Encoder, grid: PatchGrid, stain: Encoder
) -> tuple[Features, list[RowFile]]:
    files = Features(
        tiles=folder / "tile_features.npy",
        stain=folder / "stain_features.npy",
        patches=folder / "patch_features.npy",
        journal=folder / "progress.json",
    )
    arrays = [
        RowFile(files.tiles, "float32", (rows, encoder.tile_dim)),
        RowFile(files.stain, "float32", (rows, stain.tile_dim)),
        RowFile(files.patches, "float16", (rows, grid.n_patches, encoder.patch_dim)),
    ]
    return files, arrays
