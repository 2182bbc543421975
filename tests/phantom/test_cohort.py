"""The cohort: reproducible, and patients differ more in their stain than their sections do."""

from dataclasses import replace

import numpy as np
import pytest

from miso.errors import ConfigError
from miso.geometry import lattice_pitch_px
from miso.phantom import PhantomSpec, make_section
from miso.phantom.cohort import make_patient

SMALL = PhantomSpec(seed=7, n_patients=3, n_sections=2, size_um=640)


@pytest.fixture(scope="module")
def section():
    return make_section(SMALL, 0, 0)


def test_the_same_seed_gives_the_same_section(section):
    again = make_section(SMALL, 0, 0)
    np.testing.assert_array_equal(section.image, again.image)
    np.testing.assert_array_equal(section.counts, again.counts)
    np.testing.assert_array_equal(section.truth.programs, again.truth.programs)


def test_another_seed_gives_another_section(section):
    other = make_section(replace(SMALL, seed=8), 0, 0)
    assert (section.image != other.image).mean() > 0.5


def test_a_section_does_not_depend_on_how_many_there_are(section):
    alone = make_section(replace(SMALL, n_patients=1, n_sections=1), 0, 0)
    np.testing.assert_array_equal(section.image, alone.image)


def test_sections_of_a_patient_have_their_own_layout(section):
    assert (make_section(SMALL, 0, 1).truth.programs != section.truth.programs).mean() > 0.2


def test_an_image_is_rgb_of_whole_patches_at_half_a_micrometre(section):
    assert section.image.shape == (1280, 1280, 3)
    assert section.image.dtype == np.uint8
    assert section.truth.tissue.shape == (80, 80)
    assert section.truth.mpp == 0.5


def test_glass_is_bright_and_tissue_is_pink_or_purple(section):
    tissue = np.kron(section.truth.tissue, np.ones((16, 16)))
    assert section.image[tissue < 0.01].mean() > 230
    red, green, blue = section.image[tissue > 0.99].mean(axis=0)
    assert green < min(red, blue) - 15


def test_spots_lie_on_tissue_and_on_the_lattice(section):
    assert section.truth.tissue_under(section.spots.center_xy, SMALL.spot_array.diameter_um).min() >= 0.4
    patch = section.truth.raster.cells_of(section.spots.center_xy)
    assert section.truth.tissue[tuple(patch.T)].mean() > 0.9
    assert lattice_pitch_px(section.spots.array_xy, section.spots.center_xy) == pytest.approx(400, rel=0.02)


def test_a_finer_pitch_gives_more_spots(section):
    finer = make_section(replace(SMALL, pitch_um=100), 0, 0)
    assert len(finer.counts) > 3 * len(section.counts)


def test_a_few_selected_spots_have_no_counts(section):
    assert (~section.counted).sum() in (1, 2)
    assert len(section.counts) == len(section.counted) == len(section.spots.names)


def test_stain_differs_between_patients_more_than_within():
    tiny = replace(SMALL, size_um=400)
    stains = np.array([[_stain_of(make_section(tiny, p, s).image) for s in range(2)] for p in range(3)])
    within = np.linalg.norm(stains[:, 0] - stains[:, 1], axis=-1).mean()
    between = np.linalg.norm(stains.mean(axis=1) - stains.mean(axis=(0, 1)), axis=-1).mean()
    assert between > 2 * within


def _stain_of(image):
    """Direction of optical density in red, green and blue: of the darkest pixels, and of pink ones."""
    density = -np.log(image.reshape(-1, 3) / 250)
    dark = density[density[:, 0] > np.quantile(density[:, 0], 0.97)].mean(axis=0)
    pink = density[(density[:, 0] < 0.25) & (density[:, 1] > 0.3)].mean(axis=0)
    return np.concatenate([dark / np.linalg.norm(dark), pink / np.linalg.norm(pink)])


def test_patients_differ_in_composition_and_stain():
    first, second = make_patient(0, 0), make_patient(0, 1)
    assert first.composition != second.composition
    assert first.stain != second.stain


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_patients": 0},
        {"n_visible": 61},
        {"n_folds": 4, "n_patients": 3},
        {"size_um": 150},
        {"pitch_um": 0.0},
        {"array": "visium", "pitch_um": 120.0},
        {"array": "slideseq"},
        {"image_mpp": 0.3},
    ],
)
def test_impossible_cohorts_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"patients|genes|folds|section|array|picture"):
        PhantomSpec(**wrong)


@pytest.fixture(scope="module")
def finer():
    return make_section(replace(SMALL, image_mpp=0.25), 0, 0)


def test_a_finer_scanner_sees_the_same_section(section, finer):
    assert finer.image.shape == (2560, 2560, 3)
    binned = finer.image.reshape(1280, 2, 1280, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(binned.ravel(), section.image.ravel())[0, 1] > 0.995
    assert (binned - section.image).std() < 4
    np.testing.assert_array_equal(finer.counts, section.counts)


def test_positions_and_truth_follow_the_finer_pixels(section, finer):
    np.testing.assert_allclose(finer.spots.center_xy, 2 * section.spots.center_xy)
    assert finer.truth.mpp == 0.25
    np.testing.assert_allclose(
        finer.truth.under(finer.spots.center_xy, 100), section.truth.under(section.spots.center_xy, 100)
    )
