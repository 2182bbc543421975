"""Ways out of a folder that somebody else packed: links to files elsewhere, and what is no file at all."""

import os
from pathlib import Path


class FolderError(ValueError):
    """A folder reaches outside itself; worded on one line."""


def check_folder(folder: Path) -> None:
    """Refuse a folder in which something leads out of it, or in a circle, or is a device or a pipe.

    The folder itself may be a link. A chunk that is a link to a device would be read for ever; one that is a
    link to a private file would go out with the next copy.

    Raises
    ------
    FolderError
        Naming the first such place.
    """
    root = Path(os.path.realpath(folder))
    for at, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(at) / name
            if path.is_symlink():
                _check_link(path, root)
            elif not path.is_dir() and not path.is_file():
                raise FolderError(f"{_shown(path, root)} is no file and no folder")


def _check_link(path: Path, root: Path) -> None:
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(root) or path.is_relative_to(target):
        raise FolderError(
            f"{_shown(path, root)} is a link that leads out of it; copy it with what links point to (cp -rL)"
        )


def _shown(path: Path, root: Path) -> str:
    return ascii(str(path.relative_to(root))[:80])
