"""A Sample as the original MISO's folder of `.npy` files, written row by row in bounded memory."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from miso.errors import SampleError
from miso.samples.sample import Sample
from miso.samples.vendors.files.npy import write_array
from miso.samples.vendors.original.files import BLOCK_VALUES
from miso.samples.vendors.original.layout import (
    BARCODES,
    FEATURES,
    GENES,
    LEAD,
    NEIGHBORS,
    PATCHES,
    READ_BARCODES,
    READS,
    Flavour,
    TileLayout,
)
from miso.storage import replace_folder


def export_original(sample: Sample, folder: Path, *, flavour: Flavour) -> None:
    """Write a Sample's features, neighbours, barcodes and counts; the folder appears whole or not at all.

    Level-0 positions are written exactly for tiles (64 bits) and to 32 bits for patches; the level that is
    stated is the power of 2 nearest to a tile's pixel. Array positions, gene ids and stain features have no
    place there.

    Raises
    ------
    SampleError
        If the folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SampleError(f"{folder} is there already; remove it or choose another output")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "raw_reads").mkdir(parents=True)
    try:
        _write_features(sample, partial, flavour)
        np.save(partial / NEIGHBORS, np.asarray(sample.adata.obsm["neighbors"], dtype=np.int64))
        names = np.array(list(sample.adata.obs_names), dtype=np.str_)
        barcodes = np.char.encode(names, "utf-8") if flavour == "her2st" else names
        for name in (BARCODES, READ_BARCODES):
            np.save(partial / name, barcodes)
        np.save(partial / GENES, np.array(list(sample.adata.var_names), dtype=np.str_))
        _write_reads(sample, partial / READS)
        replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_features(sample: Sample, partial: Path, flavour: Flavour) -> None:
    tile, patches = sample.grid.tile, sample.patch_features
    layout = TileLayout(
        flavour=flavour,
        tile_px=tile.size_px,
        patch_px=sample.grid.patch_px,
        downsample=tile.mpp / sample.mpp,
    )
    level = max(round(np.log2(layout.downsample)), 0)
    lead = layout.to_lead(np.asarray(sample.adata.obsm["spatial"], dtype=np.float64))
    tiles = np.asarray(sample.adata.obsm["tile_features"])
    with write_array(partial / FEATURES, np.dtype(np.float64), (len(lead), LEAD + tiles.shape[1])) as write:
        for rows in _blocks(len(lead), tiles.shape[1]):
            write(_rows(level, lead[rows], tiles[rows]))
    at = lead[:, None] + layout.patch_steps()
    shape = (*patches.shape[:2], LEAD + patches.shape[2])
    with write_array(partial / PATCHES, np.dtype(np.float32), shape) as write:
        for rows in _blocks(len(lead), int(np.prod(shape[1:]))):
            write(_rows(level, at[rows], np.asarray(patches[rows])))


def _rows(level: int, lead: NDArray[np.float64], features: NDArray[Any]) -> NDArray[np.float64]:
    levels = np.full((*lead.shape[:-1], 1), float(level))
    return np.concatenate([levels, lead, features.astype(np.float64)], axis=-1)


def _blocks(n_rows: int, values_a_row: int) -> Iterator[slice]:
    size = max(BLOCK_VALUES // max(values_a_row, 1), 1)
    return (slice(start, start + size) for start in range(0, n_rows, size))


def _write_reads(sample: Sample, path: Path) -> None:
    counts = csr_matrix(sample.adata.X)
    with write_array(path, np.dtype(np.float32), counts.shape) as write:
        for rows in _blocks(*counts.shape):
            write(counts[rows].toarray())
