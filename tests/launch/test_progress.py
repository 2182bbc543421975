"""Showing nothing passes everything through."""

from miso.launch.progress import silent


def test_silence_passes_the_items_through():
    assert list(silent(iter("abc"), 3, "reading")) == ["a", "b", "c"]
