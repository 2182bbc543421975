"""Spots of a legacy Spatial Transcriptomics array, joined with their counts by name; 200 µm pitch."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from miso.errors import AlignmentError
from miso.samples.spots import Spots
from miso.samples.vendors.genes import mostly_ensembl_ids, name_genes
from miso.samples.vendors.lattice import array_resolution
from miso.samples.vendors.section import DuplicateGenes
from miso.samples.vendors.st.tables import what_was_left_out
from miso.units import ST_PITCH_UM, ST_SPOT_DIAMETER_UM, Resolution


def join_st_spots(
    positions: pd.DataFrame, counts: pd.DataFrame, files: tuple[Path, Path], duplicates: DuplicateGenes
) -> Spots:
    """Join the two tables; spots that lack a partner are left out and noted.

    Parameters
    ----------
    files
        Where positions and counts were read from, for messages.

    Raises
    ------
    AlignmentError
        If they share no spot.
    """
    kept = positions.index.intersection(counts.index, sort=False)
    if kept.empty:
        raise AlignmentError(
            f"no spot of {files[0].name!r} has counts in {files[1].name!r} "
            f"(spots look like {positions.index[0]!r}, counts like {str(counts.index[0])[:40]!r})"
        )
    placed, table = positions.loc[kept], counts.loc[kept]
    symbols = [str(name) for name in table.columns]
    matrix, genes, gene_ids, notes = name_genes(
        csr_matrix(table.to_numpy(dtype=np.float32)),
        symbols,
        symbols if mostly_ensembl_ids(symbols) else [],
        duplicates,
        files[1],
    )
    if (matrix.data != np.round(matrix.data)).any():
        notes.append("counts hold fractions: were they normalised?")
    left_out = what_was_left_out(
        positions.attrs["read"], positions.attrs["unselected"], len(kept), len(counts)
    )
    return Spots(
        barcodes=list(kept),
        center_xy=placed[["pixel_x", "pixel_y"]].to_numpy(dtype=np.float64),
        array_xy=placed[["array_x", "array_y"]].to_numpy(dtype=np.float64),
        diameter_um=ST_SPOT_DIAMETER_UM,
        pitch_um=ST_PITCH_UM,
        counts=matrix,
        genes=genes,
        gene_ids=gene_ids,
        notes=[*left_out, *notes],
    )


def st_resolution(spots: Spots) -> Resolution | None:
    """Fit the 200 µm lattice to array positions; None where none follows.

    Raises
    ------
    AlignmentError
        If pixel positions do not follow from array positions.
    """
    return array_resolution(spots.array_xy, spots.center_xy, ST_PITCH_UM)
