"""Fingerprints tell contents apart, and differing settings are named with both values."""

from importlib.metadata import version

import pytest

from miso.launch import provenance
from miso.launch.provenance import differences, fingerprint, stamp


def test_the_same_content_has_the_same_fingerprint_under_any_name(tmp_path):
    (tmp_path / "a").write_bytes(b"counts")
    (tmp_path / "b").write_bytes(b"counts")
    (tmp_path / "c").write_bytes(b"Counts")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b") != fingerprint(tmp_path / "c")


@pytest.mark.parametrize("at", [0, 6 * 2**20, 12 * 2**20 - 1], ids=["start", "middle", "end"])
def test_a_large_file_is_known_by_its_size_and_three_stretches(tmp_path, monkeypatch, at):
    monkeypatch.setattr(provenance, "WHOLE_BELOW", 2**20)
    content = bytearray(12 * 2**20)
    (tmp_path / "slide").write_bytes(content)
    before = fingerprint(tmp_path / "slide")
    content[at] = 1
    (tmp_path / "slide").write_bytes(content)
    assert fingerprint(tmp_path / "slide") != before
    (tmp_path / "slide").write_bytes(bytes(12 * 2**20 + 1))
    assert fingerprint(tmp_path / "slide") != before


def test_differences_name_the_nested_setting_and_both_values():
    found = {"knn": 37, "tile": {"size_px": 224, "mpp": 0.5}, "encoder": "stain@1"}
    wanted = {"knn": 5, "tile": {"size_px": 224, "mpp": 1.0}, "encoder": "stain@1"}
    assert differences(found, wanted) == ["knn is 37, now 5", "tile.mpp is 0.5, now 1.0"]


def test_a_setting_on_one_side_only_is_absent_on_the_other():
    assert differences({"a": 1}, {"b": 2}) == ["a is 1, now absent", "b is absent, now 2"]


def test_settings_that_only_json_changed_do_not_differ():
    assert differences({"pair": [1, 2], "x": {"1": None}}, {"pair": (1, 2), "x": {"1": None}}) == []


def test_what_is_written_says_by_which_version_and_when():
    made = stamp()
    assert made["miso_version"] == version("miso-spatial")
    assert made["written"].endswith("+00:00")
