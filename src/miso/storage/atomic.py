"""Files and folders that are whole or absent: written under a temporary name, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it there on success, remove it on failure.

    The temporary name keeps the suffix, since many writers choose their format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def replace_folder(finished: Path, target: Path) -> None:
    """Rename a finished folder into place, over an empty or absent target."""
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    finished.replace(target)
