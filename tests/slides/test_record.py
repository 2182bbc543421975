"""The record in a pyramid: what is known of a resolution survives, and is not believed against the tags."""

import pytest

from miso.slides.record import read_record, recorded_resolution, write_record
from miso.units import Resolution

RECORD = {"settings": {"tile_px": 256}, "resolution": {"mpp": 8.0, "source": "lattice pitch of 100 µm"}}


def test_a_record_is_plain_ascii_and_comes_back():
    text = write_record(RECORD)
    assert text.isascii()
    assert read_record(text) == RECORD


@pytest.mark.parametrize("text", ["", "Aperio Image", "{}", "[1]", '{"miso_rewrite_slide": 3}', "{", "\x00"])
def test_other_descriptions_are_no_record(text):
    assert read_record(text) is None
    assert recorded_resolution(text, 0.5) is None


def test_the_source_of_a_resolution_survives():
    expected = Resolution(mpp=8.0, source="lattice pitch of 100 µm, as rewritten")
    assert recorded_resolution(write_record(RECORD), 8.01) == expected


@pytest.mark.parametrize("tagged", [16.0, 7.5, float("nan"), float("inf"), 0.0])
def test_an_image_resized_since_is_not_taken_for_what_it_was(tagged):
    assert recorded_resolution(write_record(RECORD), tagged) is None


@pytest.mark.parametrize("resolution", [None, 8, {}, {"mpp": "8"}, {"mpp": None}, {"source": "x"}])
def test_a_record_without_a_resolution_says_none(resolution):
    assert recorded_resolution(write_record({"resolution": resolution}), 8.0) is None
