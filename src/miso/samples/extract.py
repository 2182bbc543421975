"""Tile and patch features of the tiles around given centres: batched, read ahead, resumable by shard."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from miso.encoders import Encoder, Tokens, load_encoder
from miso.geometry import PatchGrid, TileSpec
from miso.launch.ahead import read_ahead
from miso.launch.progress import Track, silent
from miso.slides import Slide

SHARD = 256
"""Tiles that are written, and after a kill redone, at a time."""
BATCH = 8
"""Tiles an encoder sees at a time."""


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
) -> Features:
    """Encode the tile about each centre into tile features (float32) and patch features (float16).

    The tile features of the embedded `stain` encoder are kept too, for the baseline that every result needs.

    Parameters
    ----------
    center_xy
        Tile centres in level-0 pixels; a tile that reaches off the slide is white there.
    folder
        Where the two files and the journal of finished shards are kept.
    key
        Names the inputs and settings: shards finished under the same key are kept, others are redone.
    """
    grid = PatchGrid(tile=tile, patch_px=encoder.patch_px)
    stain = load_encoder("stain")
    store = _ShardStore(folder, key, len(center_xy), encoder, grid, stain.tile_dim)
    todo = [
        index
        for index in store.missing()
        for index in range(index, min(index + SHARD, len(center_xy)), BATCH)
    ]
    batches = read_ahead(_batches(slide, tile, center_xy, todo))
    with closing(batches):
        for start, images in track(batches, len(todo), f"encoding {slide.path.name}"):
            tokens = encoder.encode(torch.from_numpy(images))
            same = encoder.id == stain.id
            store.put(start, tokens, tokens.cls if same else stain.encode(torch.from_numpy(images)).cls)
    return store.close()


def _batches(
    slide: Slide, tile: TileSpec, center_xy: Float[NDArray[np.float64], "spot 2"], starts: list[int]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    origins = tile.origin_xy(center_xy, slide.mpp)
    size = (tile.size_px, tile.size_px)
    for start in starts:
        stop = min(start + BATCH, (start // SHARD + 1) * SHARD, len(origins))
        yield start, np.stack([slide.read((x, y), size, tile.mpp) for x, y in origins[start:stop]])


class _ShardStore:
    """Two growing arrays and a journal that names the shards that are safely in them."""

    def __init__(
        self, folder: Path, key: str, rows: int, encoder: Encoder, grid: PatchGrid, stain_dim: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.files = Features(
            tiles=folder / "tile_features.npy",
            stain=folder / "stain_features.npy",
            patches=folder / "patch_features.npy",
            journal=folder / "progress.json",
        )
        self._key, self._rows = key, rows
        self._done = self._finished()
        mode = "r+" if self._done else "w+"
        shape = (rows, grid.n_patches, encoder.patch_dim)
        self._tiles = _open(self.files.tiles, mode, "float32", (rows, encoder.tile_dim))
        self._stain = _open(self.files.stain, mode, "float32", (rows, stain_dim))
        self._patches = _open(self.files.patches, mode, "float16", shape)

    def _finished(self) -> list[int]:
        files = (self.files.journal, self.files.tiles, self.files.stain, self.files.patches)
        if not all(file.is_file() for file in files):
            return []
        try:
            journal = json.loads(self.files.journal.read_text())
        except ValueError:  # a power cut can leave an empty file
            return []
        return list(journal["done"]) if (journal["key"], journal["shard"]) == (self._key, SHARD) else []

    def missing(self) -> list[int]:
        """First rows of the shards that are still to be made."""
        return [start for start in range(0, self._rows, SHARD) if start not in self._done]

    def put(self, start: int, tokens: Tokens, stain: Float[torch.Tensor, "tile stain_dim"]) -> None:
        """Write a batch; the last batch of a shard makes the shard safe."""
        stop = start + len(tokens.cls)
        self._tiles[start:stop] = tokens.cls.cpu().numpy()
        self._stain[start:stop] = stain.cpu().numpy()
        self._patches[start:stop] = tokens.patches.cpu().numpy().astype(np.float16)
        if stop % SHARD == 0 or stop == self._rows:
            self._flush(start // SHARD * SHARD)

    def _flush(self, shard: int) -> None:
        self._tiles.flush()
        self._stain.flush()
        self._patches.flush()
        self._done.append(shard)
        temporary = self.files.journal.with_suffix(".tmp")
        temporary.write_text(json.dumps({"key": self._key, "shard": SHARD, "done": self._done}))
        temporary.replace(self.files.journal)

    def close(self) -> Features:
        """Let go of the arrays, whose every shard is flushed."""
        del self._tiles, self._stain, self._patches
        return self.files


def _open(
    path: Path, mode: str, dtype: str, shape: tuple[int, ...]
) -> "np.memmap[tuple[int, ...], np.dtype[np.float32]]":
    opened: np.memmap[tuple[int, ...], np.dtype[np.float32]] = np.lib.format.open_memmap(
        path, mode, dtype, shape
    )
    return opened
