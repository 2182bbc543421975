"""One bad unit does not end the rest, our own fault is not hidden, and the exit code says what happened."""

import pytest

from miso.errors import ConfigError
from miso.launch import Launch, Outcome, RunReport, map_units

APART = Launch(workers=1)


def states(report):
    return {outcome.unit: outcome.state for outcome in report.outcomes}


def test_the_units_after_a_bad_one_are_still_done_and_each_is_told(chores, tmp_path):
    (tmp_path / "old.txt").touch()
    told = []
    report = map_units(
        chores.units("a", "bad", "old", "full", "b"), chores.Chores(tmp_path), tell=told.append
    )
    assert [(outcome.unit, outcome.state) for outcome in told] == [
        ("a", "done"),
        ("bad", "failed"),
        ("old", "skipped"),
        ("full", "failed"),
        ("b", "done"),
    ]
    assert told == report.outcomes
    messages = [outcome.message for outcome in report.having("failed")]
    assert messages == ["bad is truncated", "the disk is full (full.npy)"]


def test_the_same_words_come_from_other_processes(chores, tmp_path):
    (tmp_path / "old.txt").touch()
    report = map_units(chores.units("a", "bad", "old", "full"), chores.Chores(tmp_path), APART)
    assert states(report) == {"a": "done", "bad": "failed", "old": "skipped", "full": "failed"}
    messages = [outcome.message for outcome in report.having("failed")]
    assert messages == ["bad is truncated", "the disk is full (full.npy)"]
    assert len(chores.lines(tmp_path, "opened")) == 1  # the work stays open between units


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["done", "skipped"], 0),
        (["done", "failed"], 3),
        (["skipped", "failed"], 3),
        (["failed"], 2),
        (["failed", "fault"], 1),
        (["done", "fault"], 3),
        ([], 0),
    ],
    ids=str,
)
def test_the_exit_code_tells_all_some_and_none_apart(outcomes, code):
    report = RunReport(
        outcomes=[
            Outcome(
                unit=str(index),
                state="failed" if state == "fault" else state,
                message="",
                seconds=0.0,
                fault="Traceback" if state == "fault" else "",
            )
            for index, state in enumerate(outcomes)
        ]
    )
    assert report.exit_code == code


def test_our_own_fault_is_raised_in_this_process(chores, tmp_path):
    with pytest.raises(KeyError, match="bug"):
        map_units(chores.units("bug", "b"), chores.Chores(tmp_path))


def test_our_own_fault_elsewhere_fails_its_unit_with_the_traceback(chores, tmp_path):
    report = map_units(chores.units("bug", "b"), chores.Chores(tmp_path), APART)
    assert states(report) == {"bug": "failed", "b": "done"}
    failed = report.having("failed")[0]
    assert failed.message == "our own fault: KeyError: 'bug'"
    assert "accident" in failed.fault
    assert len({process for (process,) in chores.lines(tmp_path, "opened")}) == 2  # from a clean process


def test_nothing_to_do_is_done(chores, tmp_path):
    assert map_units([], chores.Chores(tmp_path), APART) == RunReport()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"engine": "slurm"}, "local or ray, not 'slurm'"),
        ({"workers": 0}, "at least one worker"),
        ({"address": "auto"}, "pass launch ray"),
        ({"deadline_s": 0.0}, "some seconds"),
        ({"deadline_s": 5.0}, "pass workers too"),
        ({"engine": "ray", "cpus": 0.0}, "some cores"),
        ({"retries": -1}, "no fewer than 0 retries"),
    ],
)
def test_an_impossible_launch_is_refused(wrong, says):
    with pytest.raises(ConfigError, match=says):
        Launch(**wrong)
