"""Work in a process of its own: seconds of wall and CPU, and MiB of peak memory."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from growth.rows import Row, Value
from memory import peak_mib

PROGRAM = Path(__file__).parents[1] / "scale.py"
COMMAND = """
import atexit, sys
from pathlib import Path
from memory import peak_mib
from miso.cli import main
out = Path(sys.argv.pop(1))
sys.argv[0] = "miso"
atexit.register(lambda: out.write_text(str(peak_mib())))
main()
"""


def apart(name: str, given: Mapping[str, Value]) -> Row:
    """Let `scale.py` do one of its works in a process of its own, and return the figures that it prints last.

    Seconds are those of the work alone, without the imports.
    """
    words = [sys.executable, str(PROGRAM), "--child", name, json.dumps(given)]
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{name} {json.dumps(given)} ended with {done.returncode}; the rows before it are kept")
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def command(words: str) -> Row:
    """Run one command of MISO whole, its start included; memory is that of its own process alone.

    CPU seconds are those of its workers too, if it has any and waits for them.
    """
    begun = time.perf_counter()
    beside = os.environ | {"PYTHONPATH": str(PROGRAM.parent)}
    with tempfile.NamedTemporaryFile("r", suffix=".txt") as peak:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, peak.name, *shlex.split(words)], env=beside
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"miso {words} ended with {process.returncode}; the rows before it are kept")
        peak_mib_ = float(peak.read())
    return {
        "wall_s": round(time.perf_counter() - begun, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_mib": round(peak_mib_, 1),
    }


@contextmanager
def watched(figures: Row) -> Iterator[None]:
    """Put seconds and memory of what is done into `figures`; `before_mib` is what was held at its begin."""
    before = peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    figures["wall_s"] = round(time.perf_counter() - wall, 4)
    figures["cpu_s"] = round(time.process_time() - cpu, 4)
    figures["peak_mib"], figures["before_mib"] = round(peak_mib(), 1), round(before, 1)
