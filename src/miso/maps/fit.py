"""Whether features, Samples and slides fit a model: each refusal says what was found and what is wanted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from miso.encoders import Encoder
from miso.errors import CheckpointError
from miso.models import Checkpoint
from miso.models.encoder_id import same_encoder
from miso.samples import Sample

TOLERANCE = 1.05
"""Tiles whose µm per px differ by more than this factor are other tiles; every slide's level has its own."""
SHARED = ("kind", "genes", "target", "units", "nonnegative", "encoder", "tile", "patch_px", "stain", "in_dim")
"""What models have to agree in, for their mean to mean anything."""


def check_alike(checkpoints: Sequence[Checkpoint], path: Path) -> None:
    """Refuse a mean over models of different things."""
    first, *others = checkpoints
    for number, other in enumerate(others, 2):
        differing = [name for name in SHARED if getattr(other, name) != getattr(first, name)]
        if differing == ["tile"] and _same_tile(first.tile, other.tile):
            continue
        if "genes" in differing:
            raise CheckpointError(
                f"the models of {path} do not belong together: {_genes(first, other, number)}"
            )
        if differing:
            was, now = (_in_words(getattr(c, differing[0])) for c in (first, other))
            raise CheckpointError(
                f"the models of {path} do not belong together: the {differing[0]} of the first is {was}, "
                f"that of number {number} {now}"
            )


def check_sample(checkpoint: Checkpoint, sample: Sample) -> None:
    """Refuse a Sample that was not processed as the model's training data were.

    Raises
    ------
    CheckpointError
        If its encoder, tiles, patches or stain are others.
    """
    if not same_encoder(sample.encoder_id, checkpoint.encoder):
        raise CheckpointError(
            f"sample {sample.name!r} was encoded with {sample.encoder_id}, this run with "
            f"{checkpoint.encoder}; process it with that encoder"
        )
    tile = {"size_px": sample.grid.tile.size_px, "mpp": sample.grid.tile.mpp}
    if not _same_tile(tile, checkpoint.tile):
        raise CheckpointError(
            f"the tiles of {sample.name!r} are {tile_in_words(tile)}, this run's "
            f"{tile_in_words(checkpoint.tile)}; process it with that --tile-size and --mpp"
        )
    if checkpoint.kind == "patch" and sample.grid.patch_px != checkpoint.patch_px:
        raise CheckpointError(
            f"the patches of {sample.name!r} are {sample.grid.patch_px} px, this run's "
            f"{checkpoint.patch_px} px"
        )
    if sample.stain != checkpoint.stain:
        raise CheckpointError(
            f"the tiles of {sample.name!r} were brought to the stain {stain_name(sample.stain)}, "
            f"this run's to {stain_name(checkpoint.stain)}; process it as the cohort was"
        )


def check_encoder(checkpoint: Checkpoint, encoder: Encoder) -> None:
    """Refuse an encoder that is not the one that a student was trained on.

    Raises
    ------
    CheckpointError
        If its name, its weights, its patches or the length of its features are others.
    """
    if not same_encoder(encoder.id, checkpoint.encoder):
        raise CheckpointError(
            f"the run was trained on {checkpoint.encoder}, but the encoder here is {encoder.id}"
        )
    if (encoder.patch_px, encoder.patch_dim) != (checkpoint.patch_px, checkpoint.in_dim):
        raise CheckpointError(
            f"the run was trained on patches of {checkpoint.patch_px} px and {checkpoint.in_dim} numbers, "
            f"but {encoder.id} gives {encoder.patch_px} px and {encoder.patch_dim}"
        )


def check_features(checkpoint: Checkpoint, features: NDArray[Any], axes: Sequence[str]) -> None:
    """Refuse features of another length or of other axes, and such as are not finite.

    `axes` names the axes, the features last; "…" stands for any number of axes.

    Raises
    ------
    CheckpointError
        If they do not fit.
    """
    wanted = f"({', '.join(axes)}, {checkpoint.in_dim})"
    right_axes = features.ndim == len(axes) + 1 or (axes[0] == "…" and features.ndim >= 1)
    if not right_axes or features.shape[-1] != checkpoint.in_dim:
        raise CheckpointError(
            f"features of the shape {features.shape}, expected {wanted}: this model takes the "
            f"{checkpoint.in_dim} numbers that {checkpoint.encoder} gives"
        )
    if not bool(np.isfinite(features).all()):
        raise CheckpointError(
            f"{int((~np.isfinite(features)).sum())} of {features.size} feature values are not finite; "
            "process the section again"
        )


def check_neighbors(neighbors: Int[NDArray[np.int64], "spot k"], n_spots: int) -> None:
    """Refuse lists of neighbours that do not index the spots at hand.

    Raises
    ------
    CheckpointError
        If there is not one list a spot, or one points at no spot.
    """
    if neighbors.ndim != 2 or len(neighbors) != n_spots or neighbors.shape[1] < 1:
        raise CheckpointError(
            f"neighbours of the shape {neighbors.shape}, expected one list for each of {n_spots} spots"
        )
    if not np.issubdtype(neighbors.dtype, np.integer):
        raise CheckpointError(
            f"neighbours are {neighbors.dtype} numbers, expected integers (rows of the features)"
        )
    if neighbors.size and (neighbors.min() < 0 or neighbors.max() >= n_spots):
        outside = int(neighbors[(neighbors < 0) | (neighbors >= n_spots)][0])
        raise CheckpointError(
            f"a list of neighbours names spot {outside}, but there are {n_spots}; recompute the lists on the "
            "spots at hand"
        )


def stain_name(stain: Mapping[str, Any]) -> str:
    """Name the stain that tiles were brought to."""
    return f"{stain['method']} {stain.get('reference', {}).get('name', '')}".strip()


def tile_in_words(tile: Mapping[str, float]) -> str:
    """Word a tile: `224 px at 0.5 µm/px`."""
    return f"{tile['size_px']:g} px at {tile['mpp']:.4g} µm/px"


def _same_tile(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    low, high = sorted((one["mpp"], other["mpp"]))
    return one["size_px"] == other["size_px"] and high <= TOLERANCE * low


def _genes(first: Checkpoint, other: Checkpoint, number: int) -> str:
    if len(other.genes) != len(first.genes):
        return f"the first predicts {len(first.genes)} genes, number {number} {len(other.genes)}"
    if sorted(other.genes) == sorted(first.genes):
        return f"number {number} has the genes of the first in another order"
    gene = next(gene for gene in first.genes if gene not in other.genes)
    return f"number {number} does not predict {gene!r}, which the first does"


def _in_words(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
