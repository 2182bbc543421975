"""Names find their factories, here and in other packages; unknown ones are refused with a hint."""

from importlib.metadata import EntryPoint

import pytest

import miso.registry
from miso.errors import EncoderError
from miso.registry import Registry, unknown


@pytest.fixture
def shapes():
    made = Registry("shape", "test.shapes", EncoderError)
    made.register("square")("a square")
    made.register("circle")("a circle")
    return made


def test_what_is_registered_is_found_and_the_decorator_gives_it_back(shapes):
    @shapes.register("triangle")
    def triangle():
        return 3

    assert triangle() == 3
    assert shapes["triangle"] is triangle
    assert list(shapes) == ["circle", "square", "triangle"]


def test_a_near_miss_is_answered_with_the_name_that_was_meant(shapes):
    with pytest.raises(EncoderError, match=r"unknown shape 'sqare'; did you mean 'square'\?"):
        shapes["sqare"]


def test_a_name_like_no_other_is_answered_with_all_there_are(shapes):
    with pytest.raises(EncoderError, match="unknown shape 'zzz'; known: circle, square"):
        shapes["zzz"]


def test_several_near_names_are_all_offered():
    said = unknown("encoder", "phikom", ["h0-mini", "phikon", "phikon-v2", "uni2-h"])
    assert said == "unknown encoder 'phikom'; did you mean 'phikon' or 'phikon-v2'?"


def test_another_package_plugs_in_by_an_entry_point_loaded_only_when_asked(shapes, monkeypatch):
    points = [
        EntryPoint(name="ellipse", value="math:pi", group="test.shapes"),
        EntryPoint(name="broken", value="no_such_module:thing", group="test.shapes"),
    ]

    def entry_points(group, name=None):
        return [point for point in points if point.group == group and name in (None, point.name)]

    monkeypatch.setattr(miso.registry, "entry_points", entry_points)
    assert list(shapes) == ["broken", "circle", "ellipse", "square"]
    assert shapes["ellipse"] == pytest.approx(3.14159265)


def test_what_was_registered_here_wins_over_an_entry_point_of_that_name(shapes, monkeypatch):
    monkeypatch.setattr(
        miso.registry, "entry_points", lambda **_: [EntryPoint("circle", "math:pi", "test.shapes")]
    )
    assert shapes["circle"] == "a circle"
    assert list(shapes) == ["circle", "square"]
