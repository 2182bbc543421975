"""Counts found, or counted back exactly; what cannot be counted back is refused with the reason."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from miso.errors import SampleError
from miso.samples.vendors.scverse.whole_counts import Matrix, choose_counts, count_back


def matrix(values: np.ndarray, name: str = "X") -> Matrix:
    var = pd.DataFrame(index=[f"{name}-{i}" for i in range(values.shape[1])])
    return Matrix(name=name, read=lambda: csr_matrix(values), var=var)


def molecules(seed: int, spots: int = 30, genes: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.3, 3, genes) * rng.gamma(2, 2, (spots, 1)))
    counts[:, 0] = 1  # every spot has a gene that was seen once
    return counts


def scaled(counts: np.ndarray, to: float = 1e4) -> np.ndarray:
    return counts / counts.sum(axis=1, keepdims=True) * to


@given(seed=st.integers(0, 10**6), to=st.sampled_from([1.0, 1e3, 1e4, 1e6]))
def test_logged_counts_per_10_000_are_counted_back_exactly(seed, to):
    counts = molecules(seed)
    found = choose_counts([matrix(np.log1p(scaled(counts, to)).astype(np.float32))], "f")
    np.testing.assert_array_equal(found.counts.toarray(), counts)
    (note,) = found.notes
    assert "log(1 + counts scaled per spot), counted back" in note
    assert "is taken for one molecule; 200 genes are left" in note


def test_scaled_counts_without_a_logarithm_are_counted_back_too():
    counts = molecules(1)
    found = choose_counts([matrix(scaled(counts).astype(np.float32))], "f")
    np.testing.assert_array_equal(found.counts.toarray(), counts)
    assert "X holds counts scaled per spot, counted back" in found.notes[0]


def test_a_spot_whose_rarest_gene_was_seen_twice_is_counted_back_if_another_tells():
    counts = molecules(2)
    counts[counts == 1] = 0
    counts[3, :2] = 2, 3
    found = choose_counts([matrix(np.log1p(scaled(counts)).astype(np.float32))], "f")
    np.testing.assert_array_equal(found.counts[3].toarray()[0], counts[3])
    assert "(for more in " in found.notes[0]


def test_an_empty_spot_stays_empty():
    counts = molecules(3)
    counts[4] = 0
    values = np.log1p(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4)
    found = choose_counts([matrix(values.astype(np.float32))], "f")
    np.testing.assert_array_equal(found.counts.toarray(), counts)


def test_the_first_matrix_of_whole_numbers_is_taken_with_its_genes():
    counts = molecules(4)
    found = choose_counts(
        [matrix(np.sqrt(counts), "layers.counts"), matrix(counts, "raw.X"), matrix(2 * counts)], "f"
    )
    np.testing.assert_array_equal(found.counts.toarray(), counts)
    assert found.var.index[0] == "raw.X-0"
    assert found.notes[0].startswith("counts are those of raw.X (layers.counts has fractions")


def test_counts_in_x_need_no_note():
    assert choose_counts([matrix(molecules(5))], "f").notes == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.random.default_rng(0).random((20, 30)) + 0.1, "X has fractions"),
        (np.log1p(scaled(molecules(6)) + np.random.default_rng(0).random((30, 200))), "X has fractions"),
        (-molecules(7).astype(float), "X has negative values .*scaled or centred"),
        (np.full((3, 4), np.nan), "X has missing values"),
        (np.zeros((3, 4)), "X is empty"),
        (np.full((3, 4), 1e30) * [1, 2.5, 3.1, 4.7], r"X has values up to 4.7e\+30"),
    ],
    ids=["random", "noise", "negative", "missing", "nothing", "huge"],
)
def test_what_holds_no_counts_is_refused_with_the_reason(values, why):
    with pytest.raises(SampleError, match=why):
        choose_counts([matrix(values)], "f")


def test_no_matrix_at_all_is_refused():
    with pytest.raises(SampleError, match=r"f holds no counts: no matrix at all. Put .* layers\['counts'\]"):
        choose_counts([], "f")


def test_values_of_a_logarithm_of_another_base_are_not_counted_back():
    assert count_back(csr_matrix(np.log2(1 + scaled(molecules(8))).astype(np.float32))) is None
