"""From Spots, a Slide and an Encoder to a Sample folder: whole or absent, skipped when already the same."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from miso.encoders import Encoder
from miso.errors import AlignmentError, MisoError, SampleError
from miso.geometry import TileSpec
from miso.launch import replace_folder
from miso.launch.progress import Track, silent
from miso.launch.provenance import differences, fingerprint, stamp
from miso.samples.extract import Features, extract_features
from miso.samples.neighbors import DEFAULT_K, nearest_spots
from miso.samples.sample import MANIFEST, SCHEMA, Sample, open_sample, read_manifest
from miso.samples.spots import Spots
from miso.slides import Slide

Picture = Callable[[Path, Spots, Slide], None]
"""Draws spots on their slide into a file."""


def process_section(
    spots: Spots,
    slide: Slide,
    encoder: Encoder,
    out: Path,
    *,
    name: str,
    patient: str,
    inputs: list[Path],
    tile: TileSpec,
    knn: int = DEFAULT_K,
    draw_alignment: Picture | None = None,
    track: Track = silent,
) -> tuple[Sample, bool]:
    """Write a Sample folder.

    Parameters
    ----------
    out
        The Sample folder. The same Sample already there is kept; another one is never overwritten.
    inputs
        The files that the section was read from; their fingerprints are part of what makes Samples the same.
    draw_alignment
        Draws `alignment.png`: whether spots lie on tissue is seen at a glance.

    Returns
    -------
    The Sample, and whether it was made now (rather than found there).

    Raises
    ------
    SampleError
        If the folder holds something else.
    AlignmentError
        If no spot lies on the slide.
    """
    settings = _settings(slide, encoder, tile, knn, inputs, spots)
    if _already_there(out, settings):
        return open_sample(out), False
    _check_on_slide(spots, slide, name)
    partial = out.with_name(f".{out.name}.partial")
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    try:
        features = extract_features(slide, encoder, spots.center_xy, tile, partial, key, track)
    except MisoError:  # the input is at fault, and mended input makes other features
        _discard(partial)
        raise
    manifest = {
        "schema": SCHEMA,
        "name": name,
        "patient": patient,
        "settings": settings,
        "resolution": {"mpp": slide.mpp, "source": slide.resolution.source},
        "slide": {"path": str(slide.path.resolve()), "size_px": list(slide.size_px)},
        "spot_diameter_um": spots.diameter_um,
        "pitch_um": spots.pitch_um,
        "notes": spots.notes,
        **stamp(),
    }
    adata = _annotate(spots, features, nearest_spots(spots.center_xy * slide.mpp, knn), manifest)
    adata.write_h5ad(partial / "adata.h5ad")
    if draw_alignment is not None:
        draw_alignment(partial / "alignment.png", spots, slide)
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False))
    for file in (
        features.tiles,
        features.stain,
        features.journal,
    ):  # last: until here a rerun computes nothing again
        file.unlink()
    replace_folder(partial, out)
    return open_sample(out), True


def _discard(partial: Path) -> None:
    """Remove an unfinished folder, and the one that was made to hold it if that is empty now."""
    shutil.rmtree(partial, ignore_errors=True)
    if not any(partial.parent.iterdir()):
        partial.parent.rmdir()


def _settings(
    slide: Slide, encoder: Encoder, tile: TileSpec, knn: int, inputs: list[Path], spots: Spots
) -> dict[str, Any]:
    return {
        "encoder": encoder.id,
        "patch_px": encoder.patch_px,
        "tile": {"size_px": tile.size_px, "mpp": tile.mpp},
        "slide_mpp": slide.mpp,
        "knn": knn,
        "spots": len(spots),
        "inputs": {path.name: fingerprint(path) for path in inputs},
    }


def _already_there(out: Path, settings: dict[str, Any]) -> bool:
    found = read_manifest(out)
    if found is not None:
        differing = differences(found["settings"], settings)
        if differing:
            raise SampleError(
                f"{out} was made with other settings: {'; '.join(differing)}. "
                "Remove that folder or choose another output"
            )
        return True
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SampleError(f"{out} is there and is no Sample; remove it or choose another output")
    return False


def _check_on_slide(spots: Spots, slide: Slide, name: str) -> None:
    inside = np.all((spots.center_xy >= 0) & (spots.center_xy < slide.size_px), axis=1)
    if not inside.all():
        swapped = np.all((spots.center_xy[:, ::-1] >= 0) & (spots.center_xy[:, ::-1] < slide.size_px))
        hint = (
            "with x and y swapped they all fit"
            if swapped
            else "is this the image that the spots were placed on?"
        )
        raise AlignmentError(
            f"{(~inside).sum()} of {len(spots)} spots of {name!r} lie off the image of "
            f"{slide.size_px[0]} × {slide.size_px[1]} px; {hint}"
        )


def _annotate(
    spots: Spots, features: Features, neighbors: NDArray[np.int64], manifest: dict[str, Any]
) -> anndata.AnnData:
    obs = pd.DataFrame(
        {
            "array_x": spots.array_xy[:, 0],
            "array_y": spots.array_xy[:, 1],
            "total_counts": np.asarray(spots.counts.sum(axis=1)).ravel(),
            "n_genes": np.diff(spots.counts.indptr),
        },
        index=pd.Index(spots.barcodes, dtype=str),
    )
    adata = anndata.AnnData(X=spots.counts, obs=obs, var=pd.DataFrame(index=pd.Index(spots.genes, dtype=str)))
    adata.obsm["spatial"] = spots.center_xy
    adata.obsm["tile_features"] = np.load(features.tiles)
    adata.obsm["stain_features"] = np.load(features.stain)
    adata.obsm["neighbors"] = neighbors
    adata.uns["miso"] = json.loads(json.dumps(manifest))
    return adata
