"""Accidents to units, workers, nodes and drivers, and what became of the work: a table, a row an accident.

Each batch has twenty units of half a second; two workers do them, processes of this machine or actors of a
Ray cluster of two nodes (raylets of this machine). Counted are units done and failed, those begun again,
those done twice, and what lies half-written under a final name. Writes benchmarks/results/faults.json.

    .venv/bin/python benchmarks/faults.py [--no-ray]
"""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from miso.errors import SlideError
from miso.launch import Launch, RunReport, State, Unit, map_units
from miso.storage import claim, write_path
from miso.verbs.console import show_table

RESULTS = Path(__file__).parent / "results" / "faults.json"
UNITS, SECONDS, DEADLINE_S = 20, 0.5, 8.0
WHOLE = "whole\n" * 1000
Accident = Callable[[Path], None]
COLUMNS = ("accident", "done", "failed", "begun again", "done twice", "half-written", "exit code", "why")


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """Writes a file a unit; unit 3 has the accident that is asked for."""

    folder: Path
    accident: str = ""

    def open(self) -> Callable[[int], tuple[State, str]]:
        """Give what does a unit."""
        return self.do

    def do(self, unit: int) -> tuple[State, str]:
        """Write a file in two parts, and note the beginning and the end."""
        out = self.folder / f"{unit}.txt"
        with claim(out):
            if out.exists():
                return "skipped", "there"
            with write_path(out) as partial:
                partial.write_text(WHOLE[:3000])
                time.sleep(SECONDS)
                if unit == 3:
                    ACCIDENTS.get(self.accident, lambda folder: None)(self.folder)
                partial.write_text(WHOLE)
            with (self.folder / "log").open("a") as log:
                log.write(f"{unit}\n")
        return "done", "made"


def crash(folder: Path) -> None:
    """Read from where nothing is, as a broken decoder does."""
    ctypes.string_at(0)


def crash_once(folder: Path) -> None:
    """Die the first time."""
    if not (folder / "mark").exists():
        (folder / "mark").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def hang(folder: Path) -> None:
    """Wait for what never comes."""
    threading.Event().wait()


def corrupt(folder: Path) -> None:
    """Refuse an input."""
    raise SlideError("3.tif is truncated")


def fill_disk(folder: Path) -> None:
    """Write to a disk that is full."""
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device
        full.write(WHOLE)


def bug(folder: Path) -> None:
    """Do what nobody foresaw."""
    raise KeyError(str(folder.parent.name)[:0])


ACCIDENTS: dict[str, Accident] = {
    "a decoder crashes (SIGSEGV)": crash,
    "a worker is killed once (SIGKILL)": crash_once,
    "a unit hangs": hang,
    "an input is corrupt": corrupt,
    "the disk is full": fill_disk,
    "a bug of ours": bug,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-ray", action="store_true", help="local workers only")
    parser.add_argument("--drive", nargs=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.drive:
        drive(Path(args.drive[0]), Launch(workers=2))
        return
    rows = [local(name) for name in ("none", *ACCIDENTS)] + [two_drivers(), driver_killed()]
    if not args.no_ray:
        rows += on_ray()
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    show_table(
        f"{UNITS} units, two workers", list(COLUMNS), [tuple(str(row[c]) for c in COLUMNS) for row in rows]
    )


def drive(folder: Path, launch: Launch, accident: str = "") -> RunReport:
    """Run a batch."""
    units = [Unit(name=str(unit), task=unit) for unit in range(UNITS)]
    return map_units(units, Writing(folder=folder, accident=accident), launch)


def local(accident: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        report = drive(Path(folder), Launch(workers=2, deadline_s=DEADLINE_S), accident)
        return row(accident, Path(folder), report)


def two_drivers() -> dict[str, object]:
    """Two commands with one output."""
    with tempfile.TemporaryDirectory() as folder:
        other = subprocess.Popen([sys.executable, __file__, "--drive", folder])
        report = drive(Path(folder), Launch(workers=2))
        other.wait()
        return row("two commands on one output", Path(folder), report)


def driver_killed() -> dict[str, object]:
    """Kill a command outright, and run it again."""
    with tempfile.TemporaryDirectory() as folder:
        first = subprocess.Popen([sys.executable, __file__, "--drive", folder])
        while len(list(Path(folder).glob("*.txt"))) < 4:
            time.sleep(0.05)
        first.kill()
        first.wait()
        return row(
            "the command is killed, and run again", Path(folder), drive(Path(folder), Launch(workers=2))
        )


def on_ray() -> list[dict[str, object]]:
    """Kill a worker of a cluster, and a node."""
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    launch = Launch(engine="ray", address=cluster.address, deadline_s=DEADLINE_S)
    rows = []
    for accident in (
        "none",
        "a decoder crashes (SIGSEGV)",
        "a worker is killed once (SIGKILL)",
        "a unit hangs",
    ):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(f"Ray: {accident}", Path(folder), drive(Path(folder), launch, accident)))
    with tempfile.TemporaryDirectory() as folder:
        killer = threading.Thread(target=kill_node, args=(cluster, nodes[0], Path(folder)))
        killer.start()
        rows.append(row("Ray: a node dies (raylet, SIGKILL)", Path(folder), drive(Path(folder), launch)))
        killer.join()
    cluster.shutdown()
    return rows


def kill_node(cluster: "object", node: object, folder: Path) -> None:
    while len(list(folder.glob("*.txt"))) < 4:
        time.sleep(0.05)
    cluster.remove_node(node, allow_graceful=False)  # type: ignore[attr-defined]


def row(accident: str, folder: Path, report: RunReport) -> dict[str, object]:
    """Count what became of the work."""
    ended = Counter((folder / "log").read_text().split())
    files = list(folder.glob("[0-9]*.txt"))
    failed = report.having("failed")
    return {
        "accident": accident,
        "done": len(files),
        "failed": len(failed),
        "begun again": sum(one.attempts - 1 for one in report.outcomes),
        "done twice": sum(times - 1 for times in ended.values()),
        "half-written": sum(file.read_text() != WHOLE for file in files),
        "exit code": report.exit_code,
        "why": failed[0].message[:80] if failed else "",
    }


if __name__ == "__main__":
    main()
