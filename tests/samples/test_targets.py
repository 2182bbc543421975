"""Targets by hand: three spots, three genes, figures anyone can check."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from miso.errors import CohortError
from miso.samples.targets import target_values, targets


class Measured:
    """Stands in for a Sample: three spots, one of them without a molecule."""

    adata = anndata.AnnData(
        X=csr_matrix(np.array([[1, 0, 99], [3, 5, 2], [0, 0, 0]], dtype=np.float32)),
        obs=pd.DataFrame(index=["s0", "s1", "s2"]),
        var=pd.DataFrame(index=["a", "b", "c"]),
    )


GOLDEN = {
    "raw": [[0, 1], [5, 3], [0, 0]],
    "log1p": [[0, 0.6931472], [1.7917595, 1.3862944], [0, 0]],
    "log1p_cp10k": [[0, 4.6151205], [8.5173932, 8.0067010], [0, 0]],  # totals 100, 10 and 0: over all genes
}


@pytest.mark.parametrize("name", GOLDEN)
def test_targets_have_these_values_in_the_order_of_the_genes_asked_for(name):
    values = target_values(Measured(), targets[name], ["b", "a"])
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, GOLDEN[name], rtol=1e-5)


def test_every_target_carries_its_units():
    assert {name: targets[name].units for name in targets} == {
        "raw": "counts per spot",
        "log1p": "ln(1 + counts)",
        "log1p_cp10k": "ln(1 + counts per 10,000)",
    }


def test_an_unknown_target_is_refused_with_the_near_one():
    with pytest.raises(CohortError, match=r"unknown target 'log1p_cp10'; did you mean 'log1p_cp10k'"):
        targets["log1p_cp10"]


def test_a_gene_that_was_not_measured_is_an_error_and_not_another_genes_counts() -> None:
    with pytest.raises(CohortError, match="'missing' was not measured"):
        target_values(Measured, targets["raw"], ["a", "missing"])
