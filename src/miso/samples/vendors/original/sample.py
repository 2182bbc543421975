"""The original MISO's folder of `.npy` files as a Sample: features, counts and neighbours, but no image."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import anndata
import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy.typing import NDArray

from miso.errors import AlignmentError, SampleError, SlideError
from miso.geometry import Points
from miso.launch.provenance import fingerprint
from miso.samples.neighbors import DEFAULT_K, nearest_spots
from miso.samples.sample import Sample, open_sample
from miso.samples.spots import Spots
from miso.samples.vendors.files.npy import write_array
from miso.samples.vendors.genes import mostly_ensembl_ids, name_genes
from miso.samples.vendors.lattice import find_lattice
from miso.samples.vendors.original.files import (
    Original,
    open_original,
    patch_blocks,
    read_counts,
    recognise_layout,
    tile_features,
)
from miso.samples.vendors.original.layout import FEATURES, LEAD, NEIGHBORS, READS, Flavour, TileLayout
from miso.samples.vendors.spot_array import SpotArray, check_centers, recognise_array
from miso.samples.vendors.st.tables import SPOT_NAME
from miso.samples.write import annotate, finish_sample, is_already_there, make_manifest
from miso.slides.resolution import choose_resolution
from miso.units import ST_PITCH_UM, ST_SPOT_DIAMETER_UM, Resolution

ROUNDING = 1e-5
"""Relative error of a tile's scale by the positions of its patches, which are written in 32 bits."""
Indices = Int[NDArray[np.int64], " some"]


def import_original(
    folder: Path,
    out: Path,
    *,
    encoder: str,
    revision: str = "unknown",
    tile_px: int = 224,
    patch_px: int = 14,
    slide_mpp: float | None = None,
    flavour: Flavour | Literal["auto"] = "auto",
    name: str = "",
    patient: str = "",
) -> Sample:
    """Write a Sample folder from a folder of the original MISO; the same one already there is kept.

    The Sample has no `stain_features`, since there is no image; without `features_subtile.npy` it has no
    patch features either.

    Parameters
    ----------
    encoder, revision
        What made the features, which nothing in the folder says.
    tile_px, patch_px
        Sides of a tile and of a patch, in pixels of the level that was read.
    slide_mpp
        µm per level-0 pixel; by default it follows from the lattice of the spots.
    flavour
        Which of the two layouts it is; `auto` tells by how patches follow each other, or by the barcodes.
    name, patient
        By default the name of `out`, and the sample's name.

    Raises
    ------
    SampleError
        If a file is missing, damaged, or `out` holds something else.
    AlignmentError
        If features and counts share no spot, or patches do not lie on their tiles.
    SlideError
        If nothing says the resolution.
    """
    found = open_original(folder)
    layout = recognise_layout(found, tile_px, patch_px, None if flavour == "auto" else flavour)
    about_xy = check_centers(layout.from_lead(found.lead), folder, len(found.barcodes), FEATURES)
    array = _array_of(found, about_xy, layout.flavour)
    resolution, warnings = _resolution(folder, array, slide_mpp)
    layout = _settled(layout, resolution.mpp)
    center_xy = layout.from_lead(found.lead)
    kept, rows = _joined(found)
    spots = _spots(found, array, center_xy, kept, rows)
    neighbors, renewed = _neighbors(found, spots, kept, resolution.mpp)
    settings = {
        "encoder": f"{encoder}@{revision}",
        "patch_px": patch_px,
        "tile": {"size_px": tile_px, "mpp": resolution.mpp * layout.downsample},
        "slide_mpp": resolution.mpp,
        "knn": neighbors.shape[1],
        "spots": len(spots),
        "imported_from": f"original MISO ({layout.flavour})",
        "inputs": {inside.replace("/", "."): fingerprint(path) for inside, path in found.files.items()},
    }
    name = name or out.resolve().name
    patient = patient or name
    if is_already_there(out, settings, name=name, patient=patient):
        return open_sample(out)
    about = {
        "name": name,
        "patient": patient,
        "layout": settings["imported_from"],
        "settings": settings,
        "resolution": {"mpp": resolution.mpp, "source": resolution.source},
        "slide": {"path": str((folder / FEATURES).resolve()), "size_px": None},
        "notes": [*warnings, *renewed, *_absent(found)],
    }
    return _write(found, layout, kept, out, lambda tiles: _tables(spots, tiles, neighbors, about))


def _tables(
    spots: Spots, tiles: NDArray[np.float32], neighbors: NDArray[np.int64], about: dict[str, Any]
) -> tuple[anndata.AnnData, dict[str, Any]]:
    manifest = make_manifest(spots, about)
    return annotate(spots, {"tile_features": tiles}, neighbors, manifest), manifest


def _write(
    found: Original,
    layout: TileLayout,
    kept: Indices,
    out: Path,
    tables: Callable[[NDArray[np.float32]], tuple[anndata.AnnData, dict[str, Any]]],
) -> Sample:
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        if found.patches is not None:
            shape = (len(kept), found.patches.shape[1], found.patches.shape[2] - LEAD)
            with write_array(partial / "patch_features.npy", np.dtype(np.float16), shape) as write:
                for block in patch_blocks(found, kept, layout):
                    write(block)
        adata, manifest = tables(tile_features(found, kept))
        adata.write_h5ad(partial / "adata.h5ad")
        return finish_sample(partial, out, manifest)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _array_of(found: Original, center_xy: Points, flavour: Flavour) -> SpotArray:
    """Recognise the array by barcodes, or by neighbours: HER2ST's spots are half as wide as their pitch."""
    diameter_px = None
    if flavour == "her2st" and not all(map(SPOT_NAME.fullmatch, found.barcodes)):
        lattice = find_lattice(center_xy)
        diameter_px = lattice.pitch_px * ST_SPOT_DIAMETER_UM / ST_PITCH_UM if lattice else None
    obs = pd.DataFrame(index=pd.Index(found.barcodes))
    return recognise_array(found.folder, found.barcodes, obs, center_xy, spot_diameter_px=diameter_px)


def _resolution(folder: Path, array: SpotArray, said: float | None) -> tuple[Resolution, list[str]]:
    if said is None and not array.resolutions:
        raise SlideError(
            f"nothing says how many µm a pixel of the slide of {folder} spans: the spots form no lattice "
            "that is known; pass --slide-mpp"
        )
    return choose_resolution(said, array.resolutions, None, str(folder))


def _settled(layout: TileLayout, slide_mpp: float) -> TileLayout:
    """Round what 32-bit positions tell of the tile's scale: to whole level-0 pixels, or to 0.0001 µm/px."""
    measured = layout.downsample
    for likely in (float(round(measured)), round(measured * slide_mpp, 4) / slide_mpp):
        if abs(likely - measured) < ROUNDING * measured:
            return replace(layout, downsample=likely)
    return layout


def _joined(found: Original) -> tuple[Indices, Indices]:
    """Return the spots that have counts, and their rows of the reads."""
    row_of = {barcode: row for row, barcode in enumerate(found.read_barcodes)}
    kept = [spot for spot, barcode in enumerate(found.barcodes) if barcode in row_of]
    if not kept:
        raise AlignmentError(
            f"{found.folder}: no spot of features.npy has reads (spots look like {found.barcodes[0][:40]!r}, "
            f"reads like {found.read_barcodes[0][:40]!r})"
        )
    rows = [row_of[found.barcodes[spot]] for spot in kept]
    return np.array(kept, dtype=np.int64), np.array(rows, dtype=np.int64)


def _spots(found: Original, array: SpotArray, center_xy: Points, kept: Indices, rows: Indices) -> Spots:
    ids = found.genes if mostly_ensembl_ids(found.genes) else []
    counts, genes, gene_ids, renamed = name_genes(
        read_counts(found, rows), found.genes, ids, "unique", found.folder / READS
    )
    n, n_reads = len(found.barcodes), len(found.read_barcodes)
    notes = [
        (n - len(kept), f"{n - len(kept)} of {n} spots have no reads and were dropped"),
        (n_reads - len(kept), f"{n_reads - len(kept)} of {n_reads} rows of reads have no features"),
        (int((counts.data != np.round(counts.data)).any()), "reads hold fractions: were they normalised?"),
    ]
    return Spots(
        barcodes=[found.barcodes[spot] for spot in kept],
        center_xy=center_xy[kept],
        array_xy=array.array_xy[kept],
        diameter_um=array.diameter_um,
        pitch_um=array.pitch_um,
        shape=array.shape,
        counts=counts,
        genes=genes,
        gene_ids=gene_ids,
        notes=[*(note for happened, note in notes if happened), *array.notes, *renamed],
    )


def _neighbors(
    found: Original, spots: Spots, kept: Indices, mpp: float
) -> tuple[Int[NDArray[np.int64], "spot k"], list[str]]:
    """Return the folder's own lists if they begin with the spot itself and go outwards, else new ones."""
    center_um = spots.center_xy * mpp
    if found.neighbors is None:
        return nearest_spots(center_um, DEFAULT_K), []
    k, n = found.neighbors.shape[1], len(found.barcodes)
    if found.neighbors.dtype.kind not in "iu" or found.neighbors.min() < 0 or found.neighbors.max() >= n:
        raise SampleError(f"{found.folder / NEIGHBORS} holds what is no index of one of {n} spots")
    stored = np.asarray(found.neighbors, dtype=np.int64)
    if len(kept) < n:
        return nearest_spots(center_um, k), ["neighbours were found anew, since spots were dropped"]
    distance = np.linalg.norm(center_um[stored] - center_um[:, None], axis=2)
    outwards = np.all(np.diff(distance, axis=1) >= -1e-6 * spots.pitch_um)
    if outwards and np.array_equal(stored[:, 0], np.arange(n)):
        return stored, []
    note = f"{NEIGHBORS} does not list a spot first and then others outwards; neighbours were found anew"
    return nearest_spots(center_um, k), [note]


def _absent(found: Original) -> list[str]:
    notes = ["there is no image: the Sample has no stain features, which two of the baselines need"]
    if found.patches is None:
        notes.append("there are no patch features: the Sample cannot teach or test a student")
    return notes
