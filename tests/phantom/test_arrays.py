"""The arrays under a section: barcodes, pitch, where spots lie, and what square bins hold."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from miso.geometry import lattice_pitch_px
from miso.phantom import PhantomSpec, make_section
from miso.phantom.arrays import ARRAYS, hd_barcodes, visium_barcodes
from miso.phantom.spots import lay_array

SPEC = PhantomSpec(
    seed=4, n_patients=1, n_sections=1, size_um=640, n_visible=6, n_null=2, depth=2, array="visium"
)
SITES = np.array([[x, y] for y in range(78) for x in range(y % 2, 128, 2)])


@pytest.fixture(scope="module")
def visium():
    return make_section(SPEC, 0, 0)


@pytest.fixture(scope="module")
def hd():
    return make_section(replace(SPEC, array="hd", size_um=500), 0, 0)


def test_every_place_of_the_array_has_a_barcode_of_its_own():
    barcodes = visium_barcodes(SITES)
    assert len(set(barcodes)) == len(SITES) == 4992
    assert all(len(code) == 18 and code.endswith("-1") and set(code[:16]) <= set("ACGT") for code in barcodes)
    assert {letter for letter, n in Counter("".join(c[:16] for c in barcodes)).items() if n > 15_000} == set(
        "ACGT"
    )


def test_a_bin_is_named_by_its_size_row_and_column():
    assert hd_barcodes(np.array([[34, 12]]))[0] == "s_008um_00012_00034-1"
    assert hd_barcodes(np.array([[3, 0]]), 16.0)[0] == "s_016um_00000_00003-1"


def test_visium_spots_are_a_hexagonal_lattice_of_100_micrometres(visium):
    away = np.linalg.norm(visium.sites.center_xy[:, None] - visium.sites.center_xy, axis=-1)
    np.fill_diagonal(away, np.inf)
    np.testing.assert_allclose(away.min(axis=1), 200, rtol=1e-9)
    assert (np.isclose(away, 200)).sum(axis=1).max() == 6
    assert (visium.sites.array_xy.sum(axis=1) % 2 == 0).all()
    np.testing.assert_array_equal(visium.sites.array_xy.min(axis=0), [0, 0])


def test_a_visium_column_is_50_micrometres_and_a_row_86(visium):
    stretched = visium.sites.array_xy * [50, 50 * np.sqrt(3)]
    assert lattice_pitch_px(stretched, visium.sites.center_xy) == pytest.approx(2, rel=1e-9)


def test_visium_arrays_lie_in_different_directions_on_the_picture():
    turns = set()
    for seed in range(6):
        sites = lay_array(np.random.default_rng(seed), "visium", ARRAYS["visium"], 1600)
        design = np.column_stack([sites.array_xy, np.ones(len(sites))])
        along_x = np.linalg.lstsq(design, sites.center_xy, rcond=None)[0][0]
        turns.add(round(np.degrees(np.arctan2(along_x[1], along_x[0])) / 90) % 4)
    assert len(turns) > 1


def test_every_spot_lies_whole_on_the_picture(visium, hd):
    for section, radius in ((visium, 55), (hd, 8)):
        assert section.sites.center_xy.min() >= radius
        assert section.sites.center_xy.max() <= section.image.shape[0] - radius


def test_a_large_section_holds_one_whole_array():
    sites = lay_array(np.random.default_rng(0), "visium", ARRAYS["visium"], 20_000)
    assert len(sites) == 4992
    assert tuple(sites.array_xy.max(axis=0)) == (127, 77)


def test_bins_lie_side_by_side_and_their_molecules_follow_the_truth(hd):
    assert (lattice_pitch_px(hd.sites.array_xy, hd.sites.center_xy)) == pytest.approx(16, rel=1e-9)
    assert (hd.sites.array_xy.max(axis=0) % 2 == 1).all()
    wanted = hd.truth.depth * hd.truth.under(hd.spots.center_xy, 8, "square")
    assert hd.counts.sum() == pytest.approx(wanted.sum(), rel=0.02)
    mean, found = wanted.sum(axis=1), hd.counts.sum(axis=1)
    agreement = np.corrcoef(mean, found)[0, 1]
    assert agreement == pytest.approx(np.sqrt(mean.var() / (mean.var() + mean.mean())), abs=0.05)  # Poisson's
    beside = hd.truth.under(hd.spots.center_xy + np.array([48, 0]), 8, "square").sum(axis=1)
    assert np.corrcoef(beside, found)[0, 1] < agreement - 0.1


def test_square_bins_of_the_whole_array_hold_all_that_lies_under_it(hd):
    low, high = hd.sites.center_xy.min(axis=0) - 8, hd.sites.center_xy.max(axis=0) + 8
    whole = hd.truth.under(((low + high) / 2)[None], (high - low)[0] / 2, "square")
    bins = hd.truth.under(hd.sites.center_xy, 8, "square")
    np.testing.assert_allclose(bins.sum(axis=0), whole[0], rtol=1e-6)
