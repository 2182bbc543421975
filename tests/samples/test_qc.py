"""Counts of a spot become its quality columns; what is not defined is NaN."""

import numpy as np
from scipy.sparse import csr_matrix

from miso.samples.qc import count_qc

COUNTS = csr_matrix(np.array([[1, 3, 0], [0, 0, 0], [5, 0, 5]], dtype=np.float32))


def test_a_spot_s_molecules_genes_and_mitochondrial_share() -> None:
    table = count_qc(COUNTS, ["ERBB2", "MT-CO1", "mt-Nd1"])
    assert table["total_counts"].tolist() == [4, 0, 10]
    assert table["n_genes"].tolist() == [2, 0, 2]
    np.testing.assert_array_equal(table["pct_counts_mt"], [75, np.nan, 50])


def test_without_mitochondrial_genes_their_share_is_unknown() -> None:
    assert count_qc(COUNTS, ["A", "MTOR", "METTL1"])["pct_counts_mt"].isna().all()
