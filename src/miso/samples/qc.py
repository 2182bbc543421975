"""Quality of spots by what they count; names are those of scanpy's `calculate_qc_metrics`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

MITOCHONDRIAL = "mt-"
"""What mitochondrial symbols begin with, in capitals (human) or not (mouse)."""


def count_qc(counts: csr_matrix, genes: Sequence[str]) -> pd.DataFrame:
    """Return one row a spot.

    `total_counts` molecules, `n_genes` genes with any, and `pct_counts_mt` per cent of molecules that are
    mitochondrial: NaN for a spot without molecules, and everywhere if the genes have none such.
    """
    total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    chosen = np.array([gene.lower().startswith(MITOCHONDRIAL) for gene in genes], dtype=np.bool_)
    mitochondrial = np.asarray(counts[:, chosen].sum(axis=1), dtype=np.float64).ravel()
    share = np.divide(mitochondrial, total, out=np.full_like(total, np.nan), where=total > 0)
    return pd.DataFrame(
        {
            "total_counts": total,
            "n_genes": np.asarray((counts > 0).sum(axis=1)).ravel(),
            "pct_counts_mt": 100 * share if chosen.any() else np.nan,
        }
    )
