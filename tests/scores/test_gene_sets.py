"""Gene sets: planted genes are found, only what is passed in matters, names break ties."""

import numpy as np
import pytest

from miso.errors import MisoError
from miso.samples.neighbors import nearest_spots
from miso.scores.gene_sets import highly_variable, morans_i, spatially_variable

SIDE = 12
GRID = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1).reshape(-1, 2).astype(np.float64)
NEIGHBORS = nearest_spots(GRID, 9)
GENES = [f"G{index:02}" for index in range(40)]


def section(seed: int, planted: list[int], by_place: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Poisson genes of many levels; planted ones vary threefold, by place or from spot to spot."""
    rng = np.random.default_rng(seed)
    level = np.exp(np.linspace(-1, 3, len(GENES)))
    depth = rng.lognormal(0, 0.4, len(GRID))
    rate = depth[:, None] * level
    wave = np.sin(GRID[:, 0] / 2) if by_place else rng.permutation(np.sin(GRID[:, 0] / 2))
    rate[:, planted] *= np.exp(1.1 * wave)[:, None]
    counts = rng.poisson(rate).astype(np.float32)
    return counts, counts.sum(axis=1) + rng.poisson(200 * depth)


def test_planted_variable_genes_are_found_whatever_their_level() -> None:
    planted = [12, 20, 28, 36]
    counts, totals = zip(*[section(seed, planted, by_place=False) for seed in range(3)], strict=True)
    assert sorted(highly_variable(counts, totals, GENES, 4)) == [GENES[g] for g in planted]


def test_planted_spatial_genes_are_found_and_scattered_ones_are_not() -> None:
    planted, scattered = [15, 25, 35], [18, 30, 38]
    rng = np.random.default_rng(9)
    counts, totals = zip(*[section(seed, [*planted, *scattered]) for seed in range(2)], strict=True)
    for one in counts:
        one[:, scattered] = one[rng.permutation(len(one))][:, scattered]
    found = spatially_variable(counts, totals, [NEIGHBORS] * 2, GENES, 3)
    assert sorted(found) == [GENES[g] for g in planted]
    assert {GENES[g] for g in scattered} <= set(highly_variable(counts, totals, GENES, 6))


def test_a_gradient_of_depth_makes_no_gene_spatial() -> None:
    rng = np.random.default_rng(3)
    depth = np.exp(GRID[:, 0] / 4)
    rate = depth[:, None] * np.full(len(GENES), 5.0)
    rate[:, 7] *= np.exp(np.sin(GRID[:, 1] / 2))
    rate[:, 30:] *= 20  # plenty of molecules, which follow the depth and nothing else
    counts = rng.poisson(rate).astype(np.float32)
    total = 1000 * depth + counts.sum(axis=1)
    assert spatially_variable([counts], [total], [NEIGHBORS], GENES, 1) == [GENES[7]]
    assert morans_i(counts, NEIGHBORS).argmax() != 7


def test_only_what_is_passed_in_matters() -> None:
    train = [section(seed, [15, 25]) for seed in range(2)]
    test = section(7, [2, 3])
    kept = [array.copy() for pair in train for array in pair]
    counts, totals = zip(*train, strict=True)
    before = (
        highly_variable(counts, totals, GENES, 5),
        spatially_variable(counts, totals, [NEIGHBORS] * 2, GENES, 5),
    )
    test[0][:] = 1000  # a mutation of the test section
    after = (
        highly_variable(counts, totals, GENES, 5),
        spatially_variable(counts, totals, [NEIGHBORS] * 2, GENES, 5),
    )
    assert before == after
    for array, was in zip((a for pair in train for a in pair), kept, strict=True):
        np.testing.assert_array_equal(array, was)
    with_test = highly_variable((*counts, section(7, [2, 3], False)[0] * 9), (*totals, test[1] * 9), GENES, 5)
    assert with_test != before[0]


def test_the_order_of_genes_and_sections_does_not_matter() -> None:
    counts, totals = zip(*[section(seed, [15, 25]) for seed in range(2)], strict=True)
    order = np.random.default_rng(0).permutation(len(GENES))
    shuffled = [one[:, order] for one in counts][::-1]
    names = [GENES[g] for g in order]
    assert highly_variable(shuffled, totals[::-1], names, 8) == highly_variable(counts, totals, GENES, 8)
    place = [NEIGHBORS] * 2
    assert spatially_variable(shuffled, totals[::-1], place, names, 8) == spatially_variable(
        counts, totals, place, GENES, 8
    )


def test_ties_are_broken_by_name_and_silent_genes_come_last() -> None:
    counts, total = section(1, [])
    one = counts[:, [39]]
    tied = np.concatenate([np.zeros_like(one), one, one, one], axis=1)
    names = ["A", "D", "B", "C"]
    assert highly_variable([tied], [total], names, 4) == ["B", "C", "D", "A"]
    assert spatially_variable([tied], [total], [NEIGHBORS], names, 9) == ["B", "C", "D", "A"]
    assert highly_variable([tied], [total], names, 0) == []


def test_morans_i_is_its_definition_with_a_weight_matrix() -> None:
    values = np.random.default_rng(2).normal(size=(len(GRID), 3)) + GRID[:, :1] / 5
    weight = np.zeros((len(GRID), len(GRID)))
    for spot, around in enumerate(NEIGHBORS):
        weight[spot, around] = 1
    np.fill_diagonal(weight, 0)
    z = values - values.mean(axis=0)
    expected = len(GRID) / weight.sum() * np.einsum("ig,ij,jg->g", z, weight, z) / (z**2).sum(axis=0)
    np.testing.assert_allclose(morans_i(values, NEIGHBORS), expected, rtol=1e-12)
    board = (GRID.sum(axis=1, keepdims=True) % 2).astype(np.float64)
    rooks = np.stack([np.roll(np.arange(SIDE**2).reshape(SIDE, SIDE), 1, axis).ravel() for axis in (0, 1)], 1)
    assert morans_i(board, rooks)[0] == pytest.approx(-1)


def test_constant_values_and_lonely_spots_have_no_morans_i() -> None:
    assert np.isnan(morans_i(np.ones((len(GRID), 2)), NEIGHBORS)).all()
    assert np.isnan(morans_i(GRID, np.arange(len(GRID))[:, None])).all()


def test_what_does_not_belong_together_is_refused() -> None:
    counts, total = section(1, [])
    with pytest.raises(MisoError, match="there are none"):
        highly_variable([], [], GENES, 5)
    with pytest.raises(MisoError, match="section 0 has counts of shape"):
        highly_variable([counts], [total], GENES[:-1], 5)
    with pytest.raises(MisoError, match="same spots and genes"):
        spatially_variable([counts], [total[:-1]], [NEIGHBORS], GENES, 5)
