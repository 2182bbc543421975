"""Rows of figures in a JSON file, written whole with every row: an interruption loses the one in work."""

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import torch

from miso.storage import write_path

Value: TypeAlias = str | int | float
Row: TypeAlias = dict[str, Value]
KEY = ("axis", "what", "n", "sizes")


def machine() -> Row:
    """Say what figures are taken on."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


class Rows:
    """The rows of a file; what is there is kept and not measured again, unless `again`.

    `about` is what they are taken on; rows of another machine are never put beside them.
    """

    def __init__(self, path: Path, *, again: bool = False, about: Row | None = None) -> None:
        self.path, self.machine, self.again = path, about or machine(), again
        self.rows: list[Row] = []
        self._fresh: set[tuple[Value, ...]] = set()
        if path.is_file():
            held = json.loads(path.read_text())
            if held["machine"] != self.machine:
                sys.exit(f"{path} is of another machine ({held['machine']}); name another file with --out")
            self.rows = held["rows"]

    def having(self, axis: str, what: str | None = None) -> list[Row]:
        """Rows of an axis, smallest first."""
        found = [row for row in self.rows if row["axis"] == axis and what in (None, row["what"])]
        return sorted(found, key=lambda row: (str(row["what"]), float(row["n"])))

    def lacks(self, axis: str, what: str, n: int, sizes: str) -> bool:
        """Whether a row is still to be measured."""
        key = (axis, what, n, sizes)
        there = any(tuple(row[name] for name in KEY) == key for row in self.rows)
        return not there or (self.again and key not in self._fresh)

    def measure(
        self, axis: str, what: str, n: int, sizes: str, work: Callable[[], Mapping[str, Value]]
    ) -> None:
        """Measure a row that is not there, say it, and write the file; `sizes` says what else it depends on.

        A row of the same axis, work and n with other sizes is replaced: one table holds one kind of rows.
        """
        if not self.lacks(axis, what, n, sizes):
            return
        load = round(os.getloadavg()[0], 1)  # of the machine before, which tells an idle one from a busy one
        row: Row = {"axis": axis, "what": what, "n": n, "sizes": sizes, "load_before": load, **work()}
        self.rows = [old for old in self.rows if [old[k] for k in KEY[:3]] != [axis, what, n]] + [row]
        self._fresh.add((axis, what, n, sizes))
        sys.stderr.write(json.dumps(row) + "\n")
        self.write()

    def write(self) -> None:
        """Write the file, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with write_path(self.path) as temporary:
            temporary.write_text(
                json.dumps({"machine": self.machine, "rows": self.rows}, indent=1, ensure_ascii=False) + "\n"
            )
