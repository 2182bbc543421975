"""Local copies of what lies at URLs, in a cache folder: each whole or absent, and fetched once."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from filelock import FileLock

from miso.errors import StorageError
from miso.storage.remote import (
    BEGUN,
    LEASE,
    RECORD,
    FileSystem,
    exists,
    faults,
    file_name,
    is_web,
    local_path,
    mark,
    reach,
    safe_name,
    shown,
    together,
)

MRXS: Final = ".mrxs"
"""An image whose data lie in a folder of the same name beside it."""


def cache_folder(given: Path | str | None = None) -> Path:
    """Where copies of what lies at URLs are kept, and results that go there are made."""
    if given is not None:
        return Path(given).absolute()
    return Path(tempfile.gettempdir()) / f"miso-cache-{os.getuid() if hasattr(os, 'getuid') else 0}"


def fetch(place: str, cache: Path) -> Path:
    """Return a local copy of the file or folder at a URL; a local path or `file://` is returned as it is.

    The copy is whole or absent, has the name of the original, and stays while the original is the same (by
    ETag, else by size and time; a server that tells neither is asked anew each time). With `x.mrxs` comes its
    folder `x`. Processes that want the same at once wait for the one that fetches it. A copy of a result
    comes without its record; empty folders are nothing to a store of objects.

    Raises
    ------
    StorageError
        If it is not there or cannot be read, is half written or changes meanwhile, or has keys that lead out
        of the folder.
    """
    if (path := local_path(place)) is not None:
        return path
    name = file_name(place)
    with faults(place, "read"), _home(place, cache) as home:
        fs, remote = reach(place)
        found = _look(fs, remote, place, name)
        if not found.version or _version(home, name) != found.version:
            _download(fs, found, home, place)
            if _look(fs, remote, place, name).version != found.version:
                raise StorageError(
                    f"{shown(place)} changed while it was fetched; try again once it is complete"
                )
            _settle(home, {"url": shown(place), "version": found.version})
    return home / "copy" / name


@contextmanager
def borrow(place: str, cache: Path) -> Iterator[Path]:
    """Give what `fetch` does; a copy is removed when nobody on this machine borrows it any more.

    Whoever does holds a shared lock of the operating system beside it, which a dead process does not hold.
    """
    if (path := local_path(place)) is not None:
        yield path
        return
    import fcntl  # not on Windows, where batches of paths work all the same

    cache.mkdir(parents=True, exist_ok=True)
    with Path(f"{_place(place, cache)}.used").open("w") as used:
        fcntl.flock(used, fcntl.LOCK_SH)
        try:
            yield fetch(place, cache)
        finally:
            if _alone(used):
                free(place, cache)


def _alone(used: IO[str]) -> bool:
    """Whether nobody else holds a shared lock; then nobody gets one before the file is closed."""
    import fcntl

    try:
        fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def free(place: str, cache: Path) -> None:
    """Remove the copy that `fetch` made of a URL, if there is one; a local path is left alone.

    Nobody on this machine may be reading it any more.
    """
    if local_path(place) is None:
        with faults(place, "removed from the cache"), _home(place, cache) as home:
            _discard(home)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The files at a URL: paths there by path in the copy, and the version of it all (empty if not told)."""

    files: dict[str, str]
    version: str


def _look(fs: FileSystem, remote: str, url: str, name: str) -> Found:
    info = fs.info(remote)
    if info["type"] == "directory":
        infos = _under(fs, remote, name, url)
    else:
        infos = {name: info}
        if not is_web(url):
            _check_whole(exists(fs, remote + BEGUN) and not exists(fs, remote + RECORD), url)
        if name.lower().endswith(MRXS):
            infos |= _under(fs, remote[: -len(MRXS)], name[: -len(MRXS)], url)
    if not infos:
        raise FileNotFoundError(remote)
    marks = {key: mark(info) for key, info in sorted(infos.items())}
    version = hashlib.sha256(json.dumps(marks).encode()).hexdigest() if all(marks.values()) else ""
    return Found(files={key: str(info["name"]) for key, info in infos.items()}, version=version)


def _under(fs: FileSystem, folder: str, name: str, url: str) -> dict[str, dict[str, object]]:
    """Return the files of a folder by their path in the copy; refuse half a result, or keys that lead out."""
    start = folder.rstrip("/") + "/"
    inside = {
        key[len(start) :]: i for key, i in fs.find(folder, detail=True).items() if key.startswith(start)
    }
    begun = {key.removesuffix(BEGUN) for key in inside if key.endswith(BEGUN)}
    _check_whole(any(place + RECORD not in inside for place in begun), url)
    return {
        f"{name}/{safe_name(key, url)}": info
        for key, info in inside.items()
        if key and not key.endswith((RECORD, BEGUN, LEASE)) and (info["size"] or not key.endswith("/"))
    }


def _check_whole(half: bool, url: str) -> None:
    if half:
        raise StorageError(
            f"{shown(url)} is being written, or was left half written; wait, or run again what makes it"
        )


@contextmanager
def _home(url: str, cache: Path) -> Iterator[Path]:
    """Give the folder of a URL in the cache, to this process alone; what is not whole is removed."""
    cache.mkdir(parents=True, exist_ok=True)
    home = _place(url, cache)
    with FileLock(f"{home}.lock"):
        _sweep(home)
        try:
            yield home
        finally:
            _sweep(home)


def _place(url: str, cache: Path) -> Path:
    return cache / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:24]


def _sweep(home: Path) -> None:
    for rest in (_partial(home), home.with_suffix(".old")):
        if rest.exists():
            shutil.rmtree(rest)


def _partial(home: Path) -> Path:
    return home.with_suffix(".partial")


def _version(home: Path, name: str) -> str:
    """Return the version of a copy, nothing if it is not there or was tampered with."""
    try:
        version = json.loads((home / "version.json").read_text(encoding="utf-8"))["version"]
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return ""
    return str(version) if (home / "copy" / name).exists() else ""


def _download(fs: FileSystem, found: Found, home: Path, url: str) -> None:
    copies = [_partial(home) / "copy" / key for key in found.files]
    for folder in sorted({copy.parent for copy in copies}):
        folder.mkdir(parents=True, exist_ok=True)
    fs.get(list(found.files.values()), [str(copy) for copy in copies], **together(fs))
    if absent := [copy.name for copy in copies if not copy.is_file()]:
        raise StorageError(
            f"{shown(url)}: {absent[0]!r:.80} did not arrive; is there a folder of the same name?"
        )


def _settle(home: Path, facts: dict[str, str]) -> None:
    (_partial(home) / "version.json").write_text(json.dumps(facts), encoding="utf-8")
    _discard(home)
    _partial(home).rename(home)


def _discard(home: Path) -> None:
    """Rename a copy away, so that it is never there in part; sweeping removes it."""
    if home.exists():
        home.rename(home.with_suffix(".old"))
