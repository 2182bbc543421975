"""Units for tests of batches: what each does is written in its name; beginnings and ends are logged."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from miso.errors import SlideError
from miso.launch import Unit
from miso.storage import claim, write_path


@dataclass(frozen=True)
class Chores:
    """Writes `<name>.txt` for each unit, by way of the accident that its name begins with."""

    folder: Path
    seconds: float = 0.0

    def open(self):
        note(self.folder, "opened")
        return self.do

    def do(self, name):
        out = self.folder / f"{name}.txt"
        with claim(out):
            if out.exists():
                return "skipped", f"{name} is there"
            note(self.folder, f"begin {name}")
            time.sleep(self.seconds)
            accident(self.folder, name)
            with write_path(out) as temporary:
                temporary.write_text(name)
            note(self.folder, f"end {name}")
        return "done", f"made {name}"


def accident(folder, name):
    kind = name.rstrip("0123456789")
    if kind == "bad":
        raise SlideError(f"{name} is truncated")
    if kind == "full":
        raise OSError(28, "No space left on device", f"{name}.npy")
    if kind == "bug":
        raise KeyError(name)
    if kind == "crash" or (kind == "crash-once-" and first_time(folder, name)):
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "killed-once-" and first_time(folder, name):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang":
        time.sleep(600)


def first_time(folder, name):
    mark = folder / f"{name}.mark"
    if mark.exists():
        return False
    mark.touch()
    return True


def note(folder, line):
    with (folder / "log").open("a") as file:
        file.write(f"{line} {os.getpid()}\n")


def lines(folder, word):
    """What was noted: (name, process) of each line that begins with a word."""
    text = (folder / "log").read_text().splitlines()
    return [tuple(line.split()[1:]) for line in text if line.split()[0] == word]


def units(*names):
    return [Unit(name=name, task=name) for name in names]
