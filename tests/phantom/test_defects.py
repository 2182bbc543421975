"""Painted defects do what they say, where the mask says so and nowhere else."""

import numpy as np
import pytest
from scipy import ndimage

from miso.phantom.defects import INKS, blur, fold, ink, strokes

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(60, 256, (200, 300, 3), dtype=np.uint8)
HERE = np.zeros((200, 300), dtype=np.bool_)
HERE[50:150, 80:240] = True


@pytest.mark.parametrize("colour", INKS)
def test_ink_lets_its_colour_through(colour: str) -> None:
    painted = ink(np.full_like(IMAGE, 250), HERE, colour)
    np.testing.assert_allclose(painted[100, 100], 250 * np.array(INKS[colour]), atol=0.5)
    thin = ink(np.full_like(IMAGE, 250), HERE, colour, 0.5)
    np.testing.assert_allclose(thin[100, 100], 250 * np.sqrt(INKS[colour]), atol=0.5)
    np.testing.assert_array_equal(ink(IMAGE, HERE, colour)[~HERE], IMAGE[~HERE])


def test_a_fold_adds_the_density_of_the_flap() -> None:
    folded = fold(IMAGE, HERE, (10, 20), (255.0, 255.0, 255.0))
    wanted = IMAGE[100, 150].astype(float) * IMAGE[80, 140] / 255
    np.testing.assert_allclose(folded[100, 150], wanted, atol=0.5)
    np.testing.assert_array_equal(folded[~HERE], IMAGE[~HERE])


def test_blur_spares_the_noise_and_the_rest() -> None:
    blurred = blur(IMAGE, HERE, 8.0, np.random.default_rng(0), noise=2.0)
    assert blurred[80:120, 120:200].std(axis=(0, 1)).max() < 8 < IMAGE.std()
    assert blurred[80:120, 120:200].std(axis=(0, 1)).min() > 1.5
    np.testing.assert_array_equal(blurred[~HERE], IMAGE[~HERE])


def test_strokes_are_as_wide_as_asked_and_the_same_again() -> None:
    drawn = [strokes(np.random.default_rng(0), (900, 600), 60.0, 1, 800.0) for _ in range(2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert drawn[0].shape == (600, 900)
    assert ndimage.distance_transform_edt(drawn[0]).max() == pytest.approx(30, abs=4)  # half the width
