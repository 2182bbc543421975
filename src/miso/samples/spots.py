"""The measured side of a section, fresh from a vendor folder: spots with their counts."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

SpotShape = Literal["disc", "square"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spots:
    """Spots of one section.

    Attributes
    ----------
    barcodes
        Name of each spot, unique.
    center_xy
        Centres in level-0 pixels.
    array_xy
        Positions on the array, in array units (one unit is one pitch on a legacy ST array).
    diameter_um, pitch_um
        Spot diameter (of a square bin: its side) and centre-to-centre distance.
    shape
        Whether a spot is a disc, or a square bin (Visium HD).
    counts
        Molecules, spot × gene.
    genes
        Symbols or identifiers, unique.
    gene_ids
        Ensembl (or other) ids, one a gene, several joined by `;` where genes were summed; empty if unknown.
    tables
        Other omics of the same spots by name (antibody capture, cell types), one row a spot.
    notes
        What the reader left out or repaired, one sentence each.
    """

    barcodes: list[str]
    center_xy: Float[NDArray[np.float64], "spot 2"]
    array_xy: Float[NDArray[np.float64], "spot 2"]
    diameter_um: float
    pitch_um: float
    counts: csr_matrix
    genes: list[str]
    shape: SpotShape = "disc"
    gene_ids: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.barcodes)
