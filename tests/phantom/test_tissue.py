"""The layout, the nuclei and the picture: what is where, and what it looks like."""

import numpy as np
import pytest

from miso.phantom.cells import KINDS, sow_nuclei
from miso.phantom.cohort import make_patient
from miso.phantom.fields import STEP_PX, at, resize, scatter, smooth_field
from miso.phantom.sprites import LOOKS, draw_sprites
from miso.phantom.tissue import Composition, grow_tissue


@pytest.fixture(scope="module")
def tissue():
    return grow_tissue(np.random.default_rng(3), 2400, make_patient(0, 0).composition)


@pytest.fixture(scope="module")
def nuclei(tissue):
    return sow_nuclei(np.random.default_rng(4), tissue, make_patient(0, 0).composition)


def test_a_smooth_field_has_mean_0_and_variance_1():
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [smooth_field(rng, (90, 120), sigma).ravel() for sigma in (1, 3, 11) for _ in range(20)]
    )
    assert abs(values.mean()) < 0.1
    assert values.std() == pytest.approx(1, abs=0.1)


def test_rows_of_a_resized_field_are_rows_of_the_whole():
    field = np.random.default_rng(0).standard_normal((50, 50)).astype(np.float32)
    whole = resize(field, (200, 200))
    np.testing.assert_allclose(resize(field, (200, 200), (64, 97)), whole[64:97], atol=1e-5)


def test_scattered_points_keep_their_distance():
    points = scatter(np.random.default_rng(0), 1000, 40, jitter=0.2)
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 40 * (1 - 2 * 0.2 * np.sqrt(2))


def test_nuclei_of_every_kind_lie_inside_the_tissue(tissue, nuclei):
    assert np.bincount(nuclei.kind, minlength=len(KINDS)).min() > 30
    assert at(tissue.outline, nuclei.center_xy, STEP_PX).min() > 0


def test_tumour_nuclei_lie_in_nests_and_lymphocytes_are_densest_in_aggregates(tissue, nuclei):
    tumour = nuclei.center_xy[nuclei.kind == KINDS.index("tumour")]
    assert (at(tissue.nest, tumour, STEP_PX) > 0).all()
    lymphocyte = nuclei.center_xy[nuclei.kind == KINDS.index("lymphocyte")]
    inside = (at(tissue.lymphoid, lymphocyte, STEP_PX) > 0).mean()
    area = (tissue.lymphoid[tissue.outline > 0] > 0).mean()
    assert inside > 4 * area


def test_fibroblasts_lie_along_the_fibres(tissue, nuclei):
    fibroblast = nuclei.kind == KINDS.index("fibroblast")
    off = nuclei.angle[fibroblast] - at(tissue.fibre_angle, nuclei.center_xy[fibroblast], STEP_PX)
    assert np.abs(np.sin(off)).mean() < 0.3


def test_tissue_without_glands_or_fat_can_be_grown():
    bare = Composition(adipose=0, glandular=0, tumour=0, lymphoid=0, nest_share=0, infiltration=0, collagen=1)
    tissue = grow_tissue(np.random.default_rng(0), 640, bare)
    nuclei = sow_nuclei(np.random.default_rng(0), tissue, bare)
    assert set(nuclei.kind) == {KINDS.index("fibroblast")}


def test_kinds_of_nuclei_differ_in_area_darkness_and_elongation():
    area, dark, long = {}, {}, {}
    for kind, look in LOOKS.items():
        nuclei = draw_sprites(np.random.default_rng(0), look)
        area[kind] = (nuclei > 0.4).sum(axis=(1, 2)).mean()
        dark[kind] = nuclei.max(axis=(1, 2)).mean()
        long[kind] = look.half_length_um / look.half_width_um
    assert area["tumour"] > 1.5 * max(area["epithelial"], area["lymphocyte"], area["fibroblast"])
    assert dark["lymphocyte"] > 1.2 * dark["epithelial"]
    assert long["fibroblast"] > 2 * max(long[kind] for kind in LOOKS if kind != "fibroblast")


def test_sprites_fade_before_their_border():
    for look in LOOKS.values():
        nuclei = draw_sprites(np.random.default_rng(1), look)
        border = np.concatenate([nuclei[:, 0], nuclei[:, -1], nuclei[:, :, 0], nuclei[:, :, -1]])
        assert border.max() < 0.1 * look.density


def test_nuclei_drawn_on_finer_pixels_are_the_same_nuclei():
    for look in LOOKS.values():
        coarse = draw_sprites(np.random.default_rng(2), look)
        fine = draw_sprites(np.random.default_rng(2), look, zoom=2)
        binned = fine.reshape(len(fine), 56, 2, 56, 2).mean(axis=(2, 4))
        assert np.corrcoef(binned.ravel(), coarse.ravel())[0, 1] > 0.998
        assert fine.sum() / 4 == pytest.approx(coarse.sum(), rel=0.01)
