"""Means over surroundings are what a loop over spots and places says."""

from math import exp

import numpy as np
import pytest
import torch
from torch import Tensor

from miso.models.surroundings import near_mean, neighbor_mean

SPOTS, DIM, K = 17, 3, 6


@pytest.fixture
def features() -> Tensor:
    return torch.randn(SPOTS, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def neighbors() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack([torch.randperm(SPOTS, generator=generator)[:K] for _ in range(SPOTS)])


@pytest.mark.parametrize("reach", [0.5, 8.0])
def test_weight_falls_by_e_every_so_many_places(features: Tensor, neighbors: Tensor, reach: float) -> None:
    expected = np.zeros((SPOTS, DIM))
    for spot in range(SPOTS):
        total = 0.0
        for place in range(K):
            weight = exp(-place / reach)
            expected[spot] += weight * features[neighbors[spot, place]].numpy()
            total += weight
        expected[spot] /= total
    np.testing.assert_allclose(near_mean(features, neighbors, reach), expected, atol=1e-6)


def test_what_is_the_same_everywhere_stays_what_it_is(neighbors: Tensor) -> None:
    everywhere = torch.tensor([3.0, -0.5, 1e4]).expand(SPOTS, -1)
    torch.testing.assert_close(near_mean(everywhere, neighbors, 2.0), everywhere, rtol=1e-6, atol=0)
    torch.testing.assert_close(neighbor_mean(everywhere, neighbors), everywhere, rtol=1e-6, atol=0)


def test_the_nearest_count_most_where_weight_falls_and_all_alike_where_it_does_not(
    features: Tensor, neighbors: Tensor
) -> None:
    backwards = neighbors.flip(1)
    assert not torch.allclose(near_mean(features, neighbors, 2.0), near_mean(features, backwards, 2.0))
    nearest, farthest = features[neighbors[:, 0]], features[neighbors[:, -1]]
    at_once = near_mean(features, neighbors, 0.05)
    torch.testing.assert_close(at_once, nearest, atol=1e-6, rtol=0)
    torch.testing.assert_close(near_mean(features, backwards, 0.05), farthest, atol=1e-6, rtol=0)
    flat = near_mean(features, neighbors, 1e9)
    torch.testing.assert_close(flat, neighbor_mean(features, neighbors), atol=1e-6, rtol=0)


def test_the_mean_over_neighbours_is_theirs_and_not_their_order(features: Tensor, neighbors: Tensor) -> None:
    expected = np.array(
        [sum(features[near].numpy() for near in neighbors[spot]) / K for spot in range(SPOTS)]
    )
    np.testing.assert_allclose(neighbor_mean(features, neighbors), expected, atol=1e-12)
    np.testing.assert_allclose(neighbor_mean(features, neighbors.flip(1)), expected, atol=1e-12)


def test_some_spots_are_asked_for_without_the_others(features: Tensor, neighbors: Tensor) -> None:
    for mean in (neighbor_mean, lambda x, lists: near_mean(x, lists, 3.0)):
        assert torch.equal(mean(features, neighbors[4:9]), mean(features, neighbors)[4:9])


def test_on_a_square_lattice_weight_falls_like_a_gaussian_of_the_documented_width() -> None:
    """By its second moment about the middle: twice the variance, √(reach / 2π) pitches along each axis."""
    side, reach = 101, 60.0
    y, x = (axis.ravel() - side // 2 for axis in np.indices((side, side)))
    square = torch.from_numpy(x**2 + y**2).double()[:, None]
    lists = torch.from_numpy(np.argsort(square[:, 0].numpy(), kind="stable")[None, :4000])
    assert near_mean(square, lists, reach).item() == pytest.approx(2 * reach / (2 * np.pi), rel=0.03)
