"""Spots from the parts of an AnnData, whatever file it lies in; positions in level-0 pixels (x, y)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.geometry import Points
from miso.samples.spots import Spots
from miso.samples.vendors.genes import check_names, name_genes, symbols_and_ids
from miso.samples.vendors.scverse.whole_counts import Counted
from miso.samples.vendors.section import VendorOptions
from miso.samples.vendors.spot_array import recognise_array
from miso.units import Resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnSpots:
    """Spots, the kind of array they are of, and what that says of the resolution."""

    spots: Spots
    kind: str
    resolutions: list[Resolution]


def make_spots(
    path: Path,
    obs: pd.DataFrame,
    center_xy: Points,
    counted: Counted,
    options: VendorOptions,
    *,
    notes: list[str],
    bin_um: float | None = None,
    spot_diameter_px: float | None = None,
) -> AnnSpots:
    """Put the parts together; rows of `obs`, positions and counts are of the same spots.

    Raises
    ------
    SampleError
        If a spot is named twice.
    AlignmentError
        If array and pixel positions contradict each other.
    """
    barcodes = [str(name) for name in obs.index]
    check_names(barcodes, "spot", path)
    if obs.index.has_duplicates:
        twice = obs.index[obs.index.duplicated()][0]
        raise SampleError(f"{path} names the spot {twice!s:.40} twice; choose one section with --library")
    array = recognise_array(path, barcodes, obs, center_xy, bin_um=bin_um, spot_diameter_px=spot_diameter_px)
    symbols, ids = symbols_and_ids(counted.var)
    counts, genes, gene_ids, renamed = name_genes(counted.counts, symbols, ids, options.duplicate_genes, path)
    spots = Spots(
        barcodes=barcodes,
        center_xy=center_xy,
        array_xy=array.array_xy,
        diameter_um=array.diameter_um,
        pitch_um=array.pitch_um,
        shape=array.shape,
        counts=counts,
        genes=genes,
        gene_ids=gene_ids,
        notes=[*notes, *counted.notes, *array.notes, *renamed],
    )
    return AnnSpots(spots=spots, kind=array.kind, resolutions=array.resolutions)


def in_tissue(
    obs: pd.DataFrame, among: Bool[NDArray[np.bool_], " spot"]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Return which of some spots `obs["in_tissue"]` has in the tissue, all if it is not there; and a note."""
    if "in_tissue" not in obs.columns:
        return among, []
    said = obs["in_tissue"].astype(str).str.strip().str.lower().isin(("1", "1.0", "true")).to_numpy()
    kept = among & said
    off = int((among & ~said).sum())
    note = f"{off} of {int(among.sum())} spots are not in the tissue and were left out"
    return kept, [note] if off else []
