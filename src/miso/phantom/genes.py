"""The phantom's genes and what each cell expresses: molecules a cell (or a unit of a field), at depth 1."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.phantom.cells import KINDS

PROGRAMS = (*KINDS, "adipose", "collagen", "constant")
"""What rates are sums of: cells of each kind, area of fat, eosin of fibres, and the same everywhere.
Behind these come one field of its own for each gene of the second half of the invisible ones."""

_EPI, _TUM, _LYM, _FIB, _FAT, _COL = range(6)

VISIBLE: tuple[tuple[str, dict[int, float]], ...] = (
    ("ERBB2", {_TUM: 1.4, _EPI: 0.10}),
    ("KRT8", {_EPI: 1.0, _TUM: 0.6}),
    ("CD3D", {_LYM: 0.33}),
    ("COL1A1", {_FIB: 3.25, _COL: 0.25}),
    ("ACTB", {_EPI: 0.8, _TUM: 0.9, _LYM: 0.36, _FIB: 1.12}),
    ("MGP", {_COL: 0.55}),
    ("MKI67", {_TUM: 0.30}),
    ("EPCAM", {_EPI: 0.7, _TUM: 0.5}),
    ("CD79A", {_LYM: 0.27}),
    ("VIM", {_FIB: 1.75, _LYM: 0.21, _TUM: 0.08}),
    ("GAPDH", {_EPI: 0.6, _TUM: 0.8, _LYM: 0.24, _FIB: 0.75}),
    ("ADIPOQ", {_FAT: 1}),
    ("GRB7", {_TUM: 0.55}),
    ("AGR2", {_EPI: 0.8}),
    ("CD74", {_LYM: 0.54, _TUM: 0.25}),
    ("DCN", {_FIB: 1.38}),
    ("B2M", {_EPI: 0.4, _TUM: 0.3, _LYM: 0.66, _FIB: 0.62}),
    ("BGN", {_COL: 0.40, _FIB: 0.38}),
    ("TOP2A", {_TUM: 0.22}),
    ("TFF3", {_EPI: 0.9}),
    ("PTPRC", {_LYM: 0.21}),
    ("COL1A2", {_FIB: 2.38, _COL: 0.15}),
    ("EEF1A1", {_EPI: 0.7, _TUM: 0.7, _LYM: 0.42, _FIB: 0.88}),
    ("FABP4", {_FAT: 1.2}),
    ("CCND1", {_TUM: 0.7, _EPI: 0.15}),
    ("MUC5B", {_EPI: 0.55}),
    ("MS4A1", {_LYM: 0.18}),
    ("LUM", {_FIB: 1.25}),
    ("RPLP0", {_EPI: 0.5, _TUM: 0.6, _LYM: 0.3, _FIB: 0.5}),
    ("ELN", {_COL: 0.30}),
    ("ESR1", {_TUM: 0.25, _EPI: 0.25}),
    ("KRT18", {_EPI: 0.8, _TUM: 0.7}),
    ("CD3E", {_LYM: 0.21}),
    ("COL3A1", {_FIB: 2.5, _COL: 0.3}),
    ("HLA-DRA", {_LYM: 0.42, _EPI: 0.1}),
    ("COMP", {_COL: 0.22}),
    ("MUC1", {_TUM: 0.5, _EPI: 0.4}),
    ("KRT19", {_EPI: 0.9, _TUM: 0.9}),
    ("CD8A", {_LYM: 0.13}),
    ("SPARC", {_FIB: 1.62, _TUM: 0.10}),
    ("TPT1", {_EPI: 0.5, _TUM: 0.5, _LYM: 0.48, _FIB: 0.75}),
    ("PLIN1", {_FAT: 0.72}),
    ("BIRC5", {_TUM: 0.18}),
    ("CDH1", {_EPI: 0.5, _TUM: 0.3}),
    ("CCL5", {_LYM: 0.18}),
    ("FN1", {_FIB: 1.5, _TUM: 0.25, _COL: 0.1}),
    ("RPS18", {_EPI: 0.6, _TUM: 0.8, _LYM: 0.3, _FIB: 0.62}),
    ("FBN1", {_COL: 0.25, _FIB: 0.25}),
    ("STARD3", {_TUM: 0.35}),
    ("ELF3", {_EPI: 0.40}),
    ("LTB", {_LYM: 0.3}),
    ("ACTA2", {_FIB: 0.88}),
    ("UBC", {_EPI: 0.4, _TUM: 0.4, _LYM: 0.24, _FIB: 0.5}),
    ("CXCR4", {_LYM: 0.24, _FIB: 0.12}),
    ("SCD", {_TUM: 0.45, _FAT: 0.32}),
    ("CLDN4", {_EPI: 0.45, _TUM: 0.2}),
    ("TRBC1", {_LYM: 0.21}),
    ("POSTN", {_FIB: 1, _COL: 0.2}),
    ("TUBB", {_TUM: 0.6, _LYM: 0.09}),
    ("THY1", {_FIB: 0.62}),
)
"""Symbols and rates by program; the names are real markers', the rates invented.

They are balanced so that pure tumour, stroma, lymphoid tissue and fat hold about as many molecules. Otherwise
dividing by a spot's total would make the invisible genes predictable, as it still does a little."""

NULL_PER_PATCH = (0.01, 0.06)
"""Range of the invisible genes' mean rates, in molecules a patch of 8 µm."""
FIELD_LOG_SD = 0.6
"""Standard deviation of the natural logarithm of an invisible gene's own field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneTable:
    """Genes and their rates.

    Attributes
    ----------
    symbols
        Visible genes, then NULL01, NULL02, …
    visible
        Whether a gene's rate follows from what the slide shows.
    loadings
        Molecules a unit of each program; the last columns are the invisible genes' own fields.
    """

    symbols: tuple[str, ...]
    visible: NDArray[np.bool_]
    loadings: Float[NDArray[np.float32], "gene program"]

    @property
    def n_fields(self) -> int:
        """Invisible genes with a spatial field of their own."""
        return int(self.loadings.shape[1]) - len(PROGRAMS)


def gene_table(n_visible: int = len(VISIBLE), n_null: int = 20) -> GeneTable:
    """Take `n_visible` markers and `n_null` invisible genes, the first half of which is constant."""
    n_constant = n_null - n_null // 2
    loadings = np.zeros((n_visible + n_null, len(PROGRAMS) + n_null // 2), dtype=np.float32)
    for gene, (_, rates) in enumerate(VISIBLE[:n_visible]):
        loadings[gene, list(rates)] = list(rates.values())
    constant = PROGRAMS.index("constant")
    program = [constant] * n_constant + list(range(constant + 1, loadings.shape[1]))
    loadings[np.arange(n_null) + n_visible, program] = np.concatenate(
        [np.geomspace(*NULL_PER_PATCH, n) for n in (n_constant, n_null // 2)]
    )
    return GeneTable(
        symbols=tuple(s for s, _ in VISIBLE[:n_visible]) + tuple(f"NULL{i + 1:02d}" for i in range(n_null)),
        visible=np.arange(n_visible + n_null) < n_visible,
        loadings=loadings,
    )
