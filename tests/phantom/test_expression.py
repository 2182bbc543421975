"""Genes, rates and counts: the truth agrees with the picture's cells and the counts agree with the truth."""

import numpy as np
import pytest

from miso.geometry import PatchGrid, Raster, TileSpec
from miso.phantom import PhantomSpec, make_section
from miso.phantom.expression import disc_shares, draw_counts, square_shares
from miso.phantom.genes import PROGRAMS, VISIBLE, gene_table

DEEP = PhantomSpec(seed=5, n_patients=2, n_sections=1, size_um=960, pitch_um=100, depth=20, capture_sd=0.1)


@pytest.fixture(scope="module")
def section():
    return make_section(DEEP, 0, 0)


def pooled(section):
    """Expected molecules under each selected spot, at depth 1."""
    return section.truth.under(section.spots.center_xy, DEEP.spot_array.diameter_um)


def test_symbols_are_unique_and_each_visible_gene_has_a_rate():
    table = gene_table()
    assert len(set(table.symbols)) == len(table.symbols) == 80
    assert (table.loadings.sum(axis=1) > 0).all()
    assert all(rates for _, rates in VISIBLE)


def test_visible_genes_have_no_share_in_the_invisible_programs():
    table = gene_table()
    first = PROGRAMS.index("constant")
    assert not table.loadings[table.visible, first:].any()
    assert not table.loadings[~table.visible, :first].any()


def test_a_disc_holds_its_area():
    raster = Raster.over((1600, 1600), 16)
    shares = disc_shares(raster, np.array([[800.0, 800.0], [811.3, 640.2], [0.0, 800.0]]), 200)
    area = np.pi * (200 / 16 / 2) ** 2
    np.testing.assert_allclose(shares.sum(axis=1), [area, area, area / 2], rtol=0.01)


def test_disc_shares_agree_with_the_weights_of_a_tile():
    patches = PatchGrid(tile=TileSpec(size_px=224, mpp=0.5), patch_px=16)
    shares = disc_shares(Raster.over((224, 224), 16), np.array([[112.0, 112.0]]), 200).toarray()[0]
    np.testing.assert_allclose(shares / shares.sum(), patches.disc_weights(100, subdivisions=8), atol=1e-6)


def test_an_upright_square_holds_its_area_and_only_what_lies_on_the_section():
    raster = Raster.over((160, 160), 16)
    shares = square_shares(raster, np.array([[40.0, 56.0], [43.0, 60.5], [0.0, 80.0]]), 16)
    np.testing.assert_allclose(shares.sum(axis=1), [1, 1, 0.5])
    assert shares.toarray()[0].reshape(10, 10)[3, 2] == 1
    np.testing.assert_allclose(
        shares.toarray()[1].reshape(10, 10)[3:5, 2:4],
        np.outer([11.5, 4.5], [13, 3]) / 256,
    )


def test_a_square_smaller_than_a_patch_holds_its_part_of_it():
    shares = square_shares(Raster.over((160, 160), 16), np.array([[40.0, 40.0], [48.0, 40.0]]), 4)
    np.testing.assert_allclose(shares.data, [1 / 16, 1 / 32, 1 / 32])


def test_cells_in_the_truth_are_about_as_many_as_in_the_picture(section):
    cells = sum(section.truth.program(kind).sum() for kind in PROGRAMS[:4])
    tissue_mm2 = section.truth.tissue.sum() * 0.008**2
    assert 1000 < cells / tissue_mm2 < 8000


def test_counts_follow_the_truth_pooled_over_the_disc(section):
    expected, gene = pooled(section), section.truth.genes.index("ACTB")
    assert np.corrcoef(expected[:, gene], section.counts[:, gene])[0, 1] > 0.9
    assert section.counts.sum() / expected.sum() == pytest.approx(section.truth.depth, rel=0.05)


def test_the_mean_of_many_draws_is_the_expected_count(section):
    expected = pooled(section)[:3]
    many = np.repeat(expected, 2000, axis=0)
    drawn = draw_counts(np.random.default_rng(0), many, depth=2.0, capture_sd=0.15)
    np.testing.assert_allclose(drawn.reshape(3, 2000, -1).mean(axis=1), 2 * expected, rtol=0.05, atol=0.2)


def test_overdispersion_adds_its_share_of_variance():
    mean = np.full((40_000, 1), 20.0)
    drawn = draw_counts(np.random.default_rng(0), mean, depth=1.0, capture_sd=0.0, overdispersion=0.3)
    assert drawn.mean() == pytest.approx(20, rel=0.02)
    assert drawn.var() == pytest.approx(20 + 0.3 * 400, rel=0.05)


def test_markers_follow_their_cells_and_vary_within_a_spot(section):
    truth, inside = section.truth, section.truth.tissue > 0.99
    assert np.corrcoef(truth["ERBB2"][inside], truth.program("tumour")[inside])[0, 1] > 0.98
    blocks = truth["ERBB2"][:120, :120].reshape(10, 12, 10, 12)
    assert blocks.var(axis=(1, 3)).mean() > 0.3 * truth["ERBB2"][inside].var()


def test_constant_invisible_genes_are_the_same_everywhere(section):
    rates = section.truth.rates[[section.truth.genes.index(f"NULL{i:02d}") for i in range(1, 11)]]
    np.testing.assert_allclose(rates, rates[:, :1, :1] * np.ones_like(rates), rtol=1e-6)


@pytest.fixture(scope="module")
def truths():
    return [
        make_section(PhantomSpec(seed=2, n_sections=1, size_um=480), patient, 0).truth for patient in range(4)
    ]


def test_invisible_fields_have_little_to_do_with_the_composition_and_nothing_on_average(truths):
    correlations = []
    for truth in truths:
        inside = truth.tissue > 0.99
        visible = truth.programs[: PROGRAMS.index("constant"), inside]
        fields = truth.programs[len(PROGRAMS) :, inside]
        correlations.append(np.corrcoef(np.concatenate([visible, fields]))[: len(visible), len(visible) :])
    assert np.abs(np.mean(correlations)) < 0.1
    assert np.mean(np.square(correlations)) < 0.1


def test_invisible_fields_are_drawn_anew_for_every_section(truths):
    fields = np.concatenate([truth.programs[len(PROGRAMS) :] for truth in truths]).reshape(40, -1)
    alike = np.corrcoef(fields)[np.triu_indices(40, 1)]
    assert alike.max() < 0.99
    assert abs(alike.mean()) < 0.1
