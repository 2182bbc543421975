"""Lattices recognised, and refused, by positions alone; the pitch is known from how they were made."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miso.errors import AlignmentError
from miso.samples.vendors.lattice import array_resolution, find_lattice


def hexagonal(pitch_px: float, columns: int = 8, rows: int = 7) -> np.ndarray:
    col, row = (axis.ravel() for axis in np.meshgrid(np.arange(columns), np.arange(rows)))
    return np.stack([col + row % 2 / 2, row * np.sqrt(0.75)], axis=1) * pitch_px


def square(pitch_px: float, side: int = 7) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * pitch_px


def turned(xy: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return xy @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@given(
    pitch=st.floats(20, 500),
    degrees=st.floats(0, 360),
    lost=st.integers(0, 15),
    make=st.sampled_from([("hexagonal", hexagonal), ("square", square)]),
)
def test_a_lattice_is_recognised_at_any_angle_and_with_gaps(pitch, degrees, lost, make):
    symmetry, spots = make[0], make[1](pitch)
    kept = np.random.default_rng(lost).permutation(len(spots))[: len(spots) - lost]
    found = find_lattice(turned(spots, degrees)[kept] + 1000)
    assert found is not None
    assert found.symmetry == symmetry
    assert found.pitch_px == pytest.approx(pitch, rel=1e-9)
    assert found.spread < 1e-6


def test_whole_pixels_do_not_hide_the_pitch():
    found = find_lattice(np.round(turned(hexagonal(137.3), 7)))
    assert found.pitch_px == pytest.approx(137.3, rel=2e-3)


def test_the_jitter_of_a_printed_array_does_not_hide_the_square():
    jitter = np.random.default_rng(0).normal(0, 0.05, (49, 2)) * 290
    found = find_lattice(square(290) + jitter)
    assert found.symmetry == "square"
    assert found.pitch_px == pytest.approx(290, rel=0.02)


@pytest.mark.parametrize("n", [10, 60, 400])
def test_spots_at_random_form_no_lattice(n):
    for seed in range(50):
        assert find_lattice(np.random.default_rng(seed).random((n, 2)) * 1000) is None


@pytest.mark.parametrize(
    "spots",
    [
        np.zeros((0, 2)),
        np.zeros((50, 2)),
        np.stack([np.arange(50.0), np.zeros(50)], axis=1),
        hexagonal(100)[:4],
        np.full((20, 2), np.nan),
    ],
    ids=["none", "one place", "a line", "too few", "no numbers"],
)
def test_what_forms_no_lattice_has_none(spots):
    assert find_lattice(spots) is None


def test_a_stretched_lattice_is_neither():
    assert find_lattice(hexagonal(100) * [1.3, 1]) is None


def test_array_positions_give_the_resolution():
    array = square(1)
    found = array_resolution(array, turned(array * 290, 3) + 77, 200)
    assert found.mpp == pytest.approx(200 / 290)
    assert found.source == "lattice pitch of 200 µm"


def test_spots_on_a_line_give_none():
    line = np.stack([np.arange(9.0), np.zeros(9)], axis=1)
    assert array_resolution(line, line * 290, 200) is None


def test_one_spot_far_off_is_refused():
    array = square(1)
    pixels = array * 290.0
    pixels[11] += 5000
    with pytest.raises(
        AlignmentError, match=r"not of one lattice: spots lie up to .* pitches off their sites"
    ):
        array_resolution(array, pixels, 200)


def test_positions_in_another_order_are_refused():
    array = square(1)
    with pytest.raises(AlignmentError, match="not of one lattice"):
        array_resolution(array, np.random.default_rng(0).permutation(array) * 290, 200)


@pytest.mark.parametrize(
    ("scale", "wrong"), [((290, 580), "one axis is stretched"), ((1, 1), "would span 200 µm")]
)
def test_a_scale_that_no_microscope_has_is_refused(scale, wrong):
    with pytest.raises(AlignmentError, match=wrong):
        array_resolution(square(1), square(1) * scale, 200)
