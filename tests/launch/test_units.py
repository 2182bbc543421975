"""One bad unit does not end the rest, our own fault does, and the exit code says which."""

import pytest

from miso.errors import SlideError
from miso.launch import map_units


def work(name):
    if name.startswith("bad"):
        raise SlideError(f"{name} is truncated")
    return ("skipped" if name.startswith("old") else "done"), f"made {name}"


def test_the_units_after_a_bad_one_are_still_done_and_each_is_told():
    told = []
    report = map_units(["a", "bad", "old", "b"], work, told.append)
    assert [(outcome.unit, outcome.state) for outcome in told] == [
        ("a", "done"),
        ("bad", "failed"),
        ("old", "skipped"),
        ("b", "done"),
    ]
    assert told == report.outcomes
    assert [outcome.message for outcome in report.having("failed")] == ["bad is truncated"]


@pytest.mark.parametrize(
    ("units", "code"),
    [
        (["a", "old"], 0),
        (["a", "bad1"], 3),
        (["old", "bad1"], 3),
        (["bad1"], 2),
        (["bad1", "bad2"], 2),
        ([], 0),
    ],
    ids=str,
)
def test_the_exit_code_tells_all_some_and_none_apart(units, code):
    assert map_units(units, work).exit_code == code


def test_our_own_fault_is_not_hidden_in_a_report():
    def broken(name):
        raise KeyError(name)

    with pytest.raises(KeyError, match="a"):
        map_units(["a", "b"], broken)
