"""Resolutions: which can be true, and when two of one image contradict each other."""

import pytest

from miso.units import Resolution, disagreement, is_plausible_mpp


@pytest.mark.parametrize("mpp", [0.05, 0.1, 0.25, 0.688, 4.0, 20.0])
def test_a_microscope_has_such_a_resolution(mpp):
    assert is_plausible_mpp(mpp)


@pytest.mark.parametrize("mpp", [0, -0.5, 0.01, 84.7, 352.8, float("inf"), float("nan")])
def test_a_print_size_or_a_slip_is_no_resolution_of_a_microscope(mpp):
    assert not is_plausible_mpp(mpp)


def test_a_resolution_says_its_value_and_its_source():
    assert (
        str(Resolution(mpp=0.68812, source="lattice pitch of 200 µm"))
        == "0.6881 µm/px (lattice pitch of 200 µm)"
    )


def test_up_to_five_percent_is_agreement():
    one = Resolution(mpp=0.5, source="tags")
    assert disagreement(one, Resolution(mpp=0.5249, source="lattice")) is None
    assert disagreement(Resolution(mpp=0.5249, source="lattice"), one) is None


def test_a_larger_difference_names_both_sources():
    said = disagreement(Resolution(mpp=0.5, source="tags"), Resolution(mpp=0.25, source="lattice"))
    assert said == "resolutions disagree by a factor 2: 0.5 µm/px (tags) against 0.25 µm/px (lattice)"


@pytest.mark.parametrize(
    ("mpp", "named"), [(5.0, True), (4.6, True), (0.05, True), (4.0, False), (6.0, False)]
)
def test_a_factor_near_ten_is_called_a_mistaken_unit(mpp, named):
    said = disagreement(Resolution(mpp=0.5, source="tags"), Resolution(mpp=mpp, source="lattice"))
    assert ("a unit was probably mistaken" in said) is named
