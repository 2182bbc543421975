"""The arrays of an original MISO folder: mapped, checked against one another, and read a block at a time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from miso.errors import AlignmentError, SampleError
from miso.samples.vendors.files.npy import map_numbers, read_strings
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
from miso.samples.vendors.scverse.whole_counts import MOST_MOLECULES
from miso.samples.vendors.st.tables import SPOT_NAME

BLOCK_VALUES = 2**23
"""Values that are held at a time."""
SEQUENCE = re.compile(r"[ACGT]{8,}(-\d+)?")
LARGEST_HALF = 65504.0
MAX_DOWNSAMPLE = 1000
SLACK_PX = 1.0
"""Patches may lie this far from where the tile has them: some tools round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A folder's arrays, mapped; `patches` and `neighbors` may be absent, reads have their own order."""

    folder: Path
    features: NDArray[Any]
    patches: NDArray[Any] | None
    neighbors: NDArray[Any] | None
    barcodes: list[str]
    reads: NDArray[Any]
    genes: list[str]
    read_barcodes: list[str]

    @property
    def lead(self) -> Float[NDArray[np.float64], "spot 2"]:
        """(first, second) of each tile."""
        return np.asarray(self.features[:, 1:LEAD], dtype=np.float64)

    @property
    def files(self) -> dict[str, Path]:
        """The files that are there, by their path within the folder."""
        names = (FEATURES, PATCHES, NEIGHBORS, BARCODES, READS, GENES, READ_BARCODES)
        return {name: self.folder / name for name in names if (self.folder / name).is_file()}


def is_original(path: Path) -> bool:
    """Whether a path is a folder of the original MISO's arrays."""
    return path.is_dir() and (path / FEATURES).is_file()


def open_original(folder: Path) -> Original:
    """Map a folder's arrays.

    Raises
    ------
    SampleError
        If a file is missing or damaged, or two of them are of different spots or genes.
    """
    for name in (FEATURES, BARCODES, READS, GENES, READ_BARCODES):
        if not (folder / name).is_file():
            raise SampleError(f"{folder} has no {name}; the original MISO keeps one beside {FEATURES}")
    found = Original(
        folder=folder,
        features=map_numbers(folder / FEATURES, 2),
        patches=map_numbers(folder / PATCHES, 3) if (folder / PATCHES).is_file() else None,
        neighbors=map_numbers(folder / NEIGHBORS, 2) if (folder / NEIGHBORS).is_file() else None,
        barcodes=read_strings(folder / BARCODES),
        reads=map_numbers(folder / READS, 2),
        genes=read_strings(folder / GENES),
        read_barcodes=read_strings(folder / READ_BARCODES),
    )
    _check_lengths(found)
    for name, barcodes in ((BARCODES, found.barcodes), (READ_BARCODES, found.read_barcodes)):
        if len(set(barcodes)) < len(barcodes):
            twice = next(barcode for barcode in barcodes if barcodes.count(barcode) > 1)
            raise SampleError(f"{folder / name} names the spot {twice!r} twice")
    return found


def _check_lengths(found: Original) -> None:
    n, pairs = len(found.features), [(BARCODES, len(found.barcodes), "spots", FEATURES)]
    pairs += [(PATCHES, len(found.patches), "spots", FEATURES)] if found.patches is not None else []
    pairs += [(NEIGHBORS, len(found.neighbors), "spots", FEATURES)] if found.neighbors is not None else []
    for name, length, what, other in pairs:
        if length != n:
            raise SampleError(f"{found.folder}: {name} has {length} {what}, {other} has {n}")
    rows, columns = found.reads.shape
    if (len(found.read_barcodes), len(found.genes)) != (rows, columns):
        raise SampleError(
            f"{found.folder}: {READS} is {rows} × {columns}, but there are {len(found.read_barcodes)} "
            f"barcodes and {len(found.genes)} genes"
        )
    for name, array in ((FEATURES, found.features), (PATCHES, found.patches)):
        if array is not None and array.shape[-1] <= LEAD:
            raise SampleError(
                f"{found.folder / name} has {array.shape[-1]} columns; expected level, two positions and "
                "features"
            )


def recognise_layout(
    found: Original, tile_px: int, patch_px: int, stated: Flavour | None = None
) -> TileLayout:
    """Tell how tiles were cut by how patches follow each other; without patches, by the barcodes.

    Raises
    ------
    SampleError
        If neither tells, patches do not make the tile, or there are tiles of several levels.
    """
    flavour, downsample = _by_barcodes(found, stated), 1.0
    level = _level(found)
    if found.patches is not None:
        if tile_px % patch_px or found.patches.shape[1] != (tile_px // patch_px) ** 2:
            raise SampleError(
                f"{found.folder / PATCHES} has {found.patches.shape[1]} patches a tile; {patch_px} px each, "
                f"they do not make a tile of {tile_px} px"
            )
        if found.patches.shape[1] > 1:
            flavour, downsample = _by_patches(found, tile_px // patch_px, patch_px)
    elif level > 0:
        raise SampleError(
            f"{found.folder / FEATURES} was made at level {level:g}; without {PATCHES} nothing says how "
            "large its pixels are"
        )
    if flavour is None:
        raise SampleError(
            f"{found.folder}: neither patches nor barcodes (like {found.barcodes[0][:40]!r}) tell the "
            "flavour; say visium or her2st"
        )
    if stated not in (None, flavour):
        raise SampleError(f"{found.folder} is of the {flavour} flavour by its patches, not {stated}")
    return TileLayout(flavour=flavour, tile_px=tile_px, patch_px=patch_px, downsample=downsample)


def _by_patches(found: Original, side: int, patch_px: int) -> tuple[Flavour, float]:
    assert found.patches is not None
    along_row = np.asarray(found.patches[0, :side, 1:LEAD], dtype=np.float64)
    first, second = (along_row[-1] - along_row[0]) / ((side - 1) * patch_px)
    longer = max(first, second)
    if not (0 < longer < MAX_DOWNSAMPLE and min(abs(first), abs(second)) < 0.01 * longer):
        raise SampleError(
            f"{found.folder / PATCHES}: neighbouring patches lie ({first:.3g}, {second:.3g}) patches apart; "
            "expected a step in the second column (Visium: x) or in the third (HER2ST)"
        )
    return ("visium", float(first)) if first > second else ("her2st", float(second))


def _by_barcodes(found: Original, stated: Flavour | None) -> Flavour | None:
    if stated is None and all(map(SPOT_NAME.fullmatch, found.barcodes)):
        return "her2st"
    if stated is None and all(map(SEQUENCE.fullmatch, found.barcodes)):
        return "visium"
    return stated


def _level(found: Original) -> float:
    levels = np.unique(np.asarray(found.features[:, 0], dtype=np.float64))
    if len(levels) > 1 or not 0 <= levels[0] < 32 or levels[0] != np.round(levels[0]):
        raise SampleError(
            f"{found.folder / FEATURES} has tiles of the levels {levels[:5].tolist()}; expected one"
        )
    return float(levels[0])


def patch_blocks(
    found: Original, kept: Int[NDArray[np.int64], " some"], layout: TileLayout
) -> Iterator[Float[NDArray[np.float16], "block patch dim"]]:
    """Yield patch features block by block, once their positions are checked.

    Raises
    ------
    AlignmentError
        If patches do not lie where their tile has them.
    SampleError
        If features are missing, or too large for 16 bits.
    """
    assert found.patches is not None
    steps, lead = layout.patch_steps(), found.lead
    size = max(BLOCK_VALUES // int(np.prod(found.patches.shape[1:])), 1)
    for start in range(0, len(kept), size):
        rows = kept[start : start + size]
        block = np.asarray(found.patches[rows])
        off = np.abs(block[..., 1:LEAD] - lead[rows, None] - steps).max(axis=(1, 2))
        if not (off <= SLACK_PX * max(layout.downsample, 1)).all():
            worst = int(np.argmax(np.nan_to_num(off, nan=np.inf)))
            raise AlignmentError(
                f"{found.folder / PATCHES}: patches of the spot {found.barcodes[rows[worst]]!r} lie "
                f"{off[worst]:.3g} px off where {FEATURES} has its tile"
            )
        yield to_half(block[..., LEAD:], found.folder / PATCHES)


def to_half(values: NDArray[Any], path: Path) -> NDArray[np.float16]:
    """Round features to 16 bits.

    Raises
    ------
    SampleError
        If some are missing, or too large.
    """
    worst = float(np.abs(values).max())
    if not worst <= LARGEST_HALF:
        raise SampleError(
            f"{path} has features like {worst:g}; MISO keeps patch features in 16 bits (to 65,504)"
        )
    return values.astype(np.float16)


def tile_features(
    found: Original, kept: Int[NDArray[np.int64], " some"]
) -> Float[NDArray[np.float32], "some dim"]:
    """Read tile features.

    Raises
    ------
    SampleError
        If some are missing.
    """
    with np.errstate(over="ignore"):
        features = np.asarray(found.features[kept, LEAD:], dtype=np.float32)
    if not np.isfinite(features).all():
        raise SampleError(f"{found.folder / FEATURES} has missing or infinite features")
    return features


def read_counts(found: Original, rows: Int[NDArray[np.int64], " some"]) -> csr_matrix:
    """Read rows of the counts.

    Raises
    ------
    SampleError
        If some are negative or missing.
    """
    size = max(BLOCK_VALUES // found.reads.shape[1], 1)
    blocks = []
    for start in range(0, len(rows), size):
        with np.errstate(over="ignore"):
            block = np.asarray(found.reads[rows[start : start + size]], dtype=np.float32)
        if not np.isfinite(block).all() or (block < 0).any() or (block > MOST_MOLECULES).any():
            raise SampleError(f"{found.folder / READS} holds negative, missing or impossible counts")
        blocks.append(csr_matrix(block))
    return csr_matrix(vstack(blocks, format="csr"))
