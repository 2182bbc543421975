"""Ranks: scipy's, whatever the values; of float32 by whole numbers, of float64 by their values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import rankdata

from miso.scores import ranks as module
from miso.scores.ranks import ranks

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)
TIED = st.sampled_from([-0.0, 0.0, 1.0])


@given(
    hnp.arrays(np.float32, SHAPES, elements=st.floats(-4, 4, width=32) | st.sampled_from([-0.0, 0.0, 1.0]))
)
def test_ranks_of_float32_are_scipys_with_ties_and_signed_zeros(values: np.ndarray) -> None:
    np.testing.assert_array_equal(ranks(values.astype(np.float64)), rankdata(values, axis=0))


@given(hnp.arrays(np.float64, SHAPES, elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_ranks_of_float64_are_scipys(values: np.ndarray) -> None:
    np.testing.assert_array_equal(ranks(values), rankdata(values, axis=0))


def test_what_only_float64_tells_apart_has_ranks_of_its_own() -> None:
    values = np.array([[1.0 + 1e-12], [1.0], [1.0 - 1e-12]])
    assert ranks(values)[:, 0].tolist() == [3, 2, 1]


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_layout_of_the_values_does_not_matter(order: str) -> None:
    values = np.array(np.random.default_rng(0).normal(size=(50, 7)).round(1), order=order)
    np.testing.assert_array_equal(ranks(values), rankdata(values, axis=0))


def test_ranks_that_float32_cannot_hold_are_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(4.0)[:, None]
    assert ranks(values).dtype == np.float32
    assert float(np.float32(module.EXACT) - np.float32(0.5)) == module.EXACT - 0.5
    monkeypatch.setattr(module, "EXACT", 4)
    assert ranks(values).dtype == np.float64
