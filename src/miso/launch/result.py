"""Making a result where it is wanted: at a path, or at a URL by way of a folder of this machine."""

import hashlib
import json
import shutil
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from miso.errors import StorageError
from miso.launch.provenance import differences
from miso.launch.units import State
from miso.storage.atomic import write_path
from miso.storage.lease import lease
from miso.storage.remote import RECORD, file_name, local_path, shown
from miso.storage.store import JSON, publish, published

Make = Callable[[Path], tuple[State, str]]
"""Makes a result at a path; returns whether it was there already, and a line about it."""


def make_at(
    place: str, cache: Path, record: Mapping[str, JSON], make: Make, inputs: Iterable[str | None] = ()
) -> tuple[State, str]:
    """Make a result at a path or URL, unless it is there already.

    At a path `make` itself finds out what is there, or the record does, where an input would have to be
    fetched for that. What goes to a URL is made below `cache` first, where an
    interrupted attempt is gone on with, and is removed once it is published.

    Parameters
    ----------
    record
        What the result is made from: settings and inputs. Another result there is never replaced.
    inputs
        Where they lie.

    Raises
    ------
    Busy
        If another process is making it.
    StorageError
        If another result is at the URL, or it cannot be written.
    """
    if (path := local_path(place)) is not None and all(local_path(one) for one in inputs if one):
        require_folder(path.parent)
        return make(path)
    if is_there(place, record):
        return "skipped", f"already there: {shown(place)}"
    if path is not None:
        require_folder(path.parent)
        state, message = make(path)
        with write_path(path / RECORD) as temporary:
            temporary.write_text(json.dumps(record, indent=1))
        return state, message
    with lease(place) as held:
        if is_there(place, record):
            return "skipped", f"already there: {shown(place)}"
        made = making(place, cache, record)
        _, message = make(made)
        publish(made, place, record, sure=held.check)
        shutil.rmtree(made.parent)
    return "done", message.replace(str(made), shown(place))


def making(place: str, cache: Path, record: Mapping[str, JSON]) -> Path:
    """Where below `cache` a result at a URL is made; all that is in its folder is removed in the end."""
    made_of = json.dumps([place, record], sort_keys=True).encode()
    return cache / "made" / hashlib.sha256(made_of).hexdigest()[:16] / file_name(place)


def require_folder(folder: Path) -> None:
    """Insist on the folder of a result, which the driver has made: a worker may be on another node.

    Raises
    ------
    StorageError
        If it is not there.
    """
    if not folder.is_dir():
        raise StorageError(
            f"{folder.absolute()} is not on {socket.gethostname()}; put results where every node sees them, "
            "or at a URL"
        )


def is_there(place: str, record: Mapping[str, JSON]) -> bool:
    """Whether the result made from `record` is at a URL.

    Raises
    ------
    StorageError
        If another result is there.
    """
    found = published(place)
    if found is None:
        return False
    if differing := differences(found, record):
        raise StorageError(
            f"{shown(place)} was made with other settings ({'; '.join(differing[:5])}); remove it, or choose "
            "another place"
        )
    return True
