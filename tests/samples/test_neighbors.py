"""Neighbours: oneself first, then by distance, as many as there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miso.samples.neighbors import nearest_spots


@given(n=st.integers(1, 40), k=st.integers(1, 50), seed=st.integers(0, 100))
def test_each_spot_comes_first_and_the_rest_by_distance(n, k, seed):
    centres = np.random.default_rng(seed).uniform(0, 1000, (n, 2))
    found = nearest_spots(centres, k)
    assert found.shape == (n, min(n, k))
    np.testing.assert_array_equal(found[:, 0], range(n))
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    expected = np.sort(distance, axis=1)[:, : min(n, k)]
    np.testing.assert_allclose(np.take_along_axis(distance, found, axis=1), expected)


def test_seven_neighbours_on_a_hexagonal_lattice_are_the_first_ring():
    row, col = (axis.ravel() for axis in np.indices((7, 7)))
    centres = np.stack([col * 100 + row % 2 * 50, row * 100 * np.sqrt(3) / 2], axis=1).astype(float)
    middle = 3 * 7 + 3
    ring = centres[nearest_spots(centres, 7)[middle]] - centres[middle]
    np.testing.assert_allclose(np.linalg.norm(ring, axis=1), [0, *[100] * 6])


def test_no_neighbour_at_all_is_refused():
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        nearest_spots(np.zeros((3, 2)), 0)
