"""Child processes that crash, hang or are killed cost a unit at most, and never another's."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from miso.launch import Launch, map_units

TWO = Launch(workers=2)


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def running(process):
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_a_unit_that_crashes_its_process_fails_alone_and_is_tried_again(chores, tmp_path):
    report = map_units(chores.units("a", "crash", "b", "c"), chores.Chores(tmp_path), TWO)
    failed = report.having("failed")
    assert [outcome.unit for outcome in failed] == ["crash"]
    assert failed[0].message == "its process was ended by SIGSEGV; begun 3 times"
    assert sorted(outcome.unit for outcome in report.having("done")) == ["a", "b", "c"]
    assert report.exit_code == 3


def test_a_unit_whose_process_was_killed_once_is_done_in_the_end(chores, tmp_path):
    report = map_units(chores.units("killed-once-1", "b"), chores.Chores(tmp_path), TWO)
    outcome = next(one for one in report.outcomes if one.unit == "killed-once-1")
    assert (outcome.state, outcome.attempts) == ("done", 2)


def test_a_unit_that_hangs_is_given_up_at_its_deadline(chores, tmp_path):
    start = time.monotonic()
    launch = Launch(workers=2, deadline_s=10.0)
    report = map_units(chores.units("hang", "a", "b"), chores.Chores(tmp_path), launch)
    failed = report.having("failed")
    assert [(one.unit, one.message, one.attempts) for one in failed] == [
        ("hang", "no result after 10 s; its process was ended", 1)
    ]
    assert len(report.having("done")) == 2
    assert time.monotonic() - start < 60
    ((_, process),) = [line for line in chores.lines(tmp_path, "begin") if line[0] == "hang"]
    assert not running(process)


def test_an_idle_process_that_was_killed_is_replaced(chores, tmp_path):
    told = []

    def kill_the_idle(outcome):
        told.append(outcome)
        if len(told) == 1:
            os.kill(int(outcome.where.rpartition(":")[2]), signal.SIGKILL)
            time.sleep(0.3)

    report = map_units(chores.units("a", "b"), chores.Chores(tmp_path), Launch(workers=1), tell=kill_the_idle)
    assert [outcome.state for outcome in report.outcomes] == ["done", "done"]


def test_no_unit_is_done_twice_by_two_drivers_and_nothing_is_lost(chores, tmp_path):
    names = [f"unit{number}" for number in range(8)]
    work, reports = chores.Chores(tmp_path, seconds=0.2), []

    def drive():
        reports.append(map_units(chores.units(*names), work, TWO))

    drivers = [threading.Thread(target=drive) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert sorted(name for name, _ in chores.lines(tmp_path, "end")) == names
    assert sorted(name for name, _ in chores.lines(tmp_path, "begin")) == names
    assert [report.exit_code for report in reports] == [0, 0]
    assert sum(len(report.having("done")) for report in reports) == 8


DRIVER = """
import signal, sys
from pathlib import Path
import chores
from miso.launch import Launch, map_units
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
if __name__ == "__main__":
    units = chores.units(*[f"unit{n}" for n in range(12)])
    map_units(units, chores.Chores(Path(sys.argv[1]), 0.4), Launch(workers=2))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_ends_takes_its_processes_along_and_the_next_goes_on(chores, tmp_path, how):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    work = tmp_path / "work"
    work.mkdir()
    driver = subprocess.Popen([sys.executable, script, work], stderr=subprocess.PIPE)
    signal_after = lambda: (work / "log").exists() and chores.lines(work, "end")  # noqa: E731
    wait_for(signal_after)
    driver.send_signal(how)
    driver.wait(20)
    driver.stderr.close()
    processes = {process for _, process in chores.lines(work, "begin")}
    wait_for(lambda: not any(running(process) for process in processes), 10)
    kept = {file.name: file.stat().st_mtime_ns for file in work.glob("unit*.txt")}
    assert 1 <= len(kept) < 12
    report = map_units(chores.units(*[f"unit{n}" for n in range(12)]), chores.Chores(work), TWO)
    assert report.exit_code == 0
    assert len(report.having("skipped")) == len(kept)
    assert {name: (work / name).stat().st_mtime_ns for name in kept} == kept


def test_a_unit_is_not_begun_by_a_process_that_died_while_it_was_idle(chores, tmp_path):
    def kill_the_idle(outcome):
        process = int(outcome.where.rpartition(":")[2])
        os.kill(process, signal.SIGKILL)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # all its threads, and left for the crew to see

    launch = Launch(workers=1, retries=0)
    report = map_units(chores.units("a", "b"), chores.Chores(tmp_path), launch, tell=kill_the_idle)
    assert [(outcome.state, outcome.attempts) for outcome in report.outcomes] == [("done", 1)] * 2
