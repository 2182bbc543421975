"""The right to make a result: one process at a time has it, and loses it when it dies, however it dies."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from miso.errors import MisoError


class Busy(MisoError):
    """Another process is making the same result."""


@contextmanager
def claim(out: Path) -> Iterator[None]:
    """Hold the right to make `out`: a lock of the operating system on the hidden file `.NAME.lock` beside it.

    A lock that a dead process held is free. Where a network file system does not lock between its hosts, two
    drivers on two hosts must not be given the same output.

    Raises
    ------
    Busy
        If another process has it now.
    """
    folder = out.parent
    made = not folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    file = out.with_name(f".{out.name}.lock")
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout as err:
        raise Busy(f"{out} is being made by another process; wait for it, or choose another name") from err
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # still ours: who waits for it finds out, and makes another
        lock.release()
        if made:
            with suppress(OSError):  # it is not empty: something was made
                folder.rmdir()
