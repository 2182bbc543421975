"""Inputs and results at URLs: fetched whole, published whole, so that nothing half-written is ever read."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from miso.errors import StorageError
from miso.storage.fetched import fetch, free
from miso.storage.remote import (
    BEGUN,
    LEASE,
    RECORD,
    FileSystem,
    exists,
    faults,
    is_url,
    is_web,
    reach,
    shown,
    together,
)

__all__ = ["JSON", "begin", "below", "check_writable", "fetch", "free", "is_url", "publish", "published"]

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

LONGEST: Final = 2**20
"""Bytes of a record that are read; ours have a few thousand."""


def begin(url: str) -> None:
    """Mark the place of a result whose parts are published one by one, each with a record of its own.

    Until `publish` has put the rest there, `fetch` refuses the whole of it. Where it is whole already,
    nothing is done.

    Raises
    ------
    StorageError
        If it cannot be written, or if files lie there that MISO did not put there.
    """
    check_writable(url)
    with faults(url, "written"):
        fs, place = reach(url)
        _check_ours(fs, place, url, {})
        if not exists(fs, f"{place}/{RECORD}"):
            fs.pipe_file(f"{place}/{BEGUN}", b"{}")


def publish(
    made: Path, url: str, record: Mapping[str, JSON], *, sure: Callable[[], None] = lambda: None
) -> None:
    """Copy a finished file or folder to a URL (or path); its record is written last.

    The record is `URL/.miso.json` of a folder, `URL.miso.json` of a file. An earlier record is removed first,
    and before the new one is written, so is whatever else an earlier attempt left, but for results in the
    folder that have records of their own. What a killed process sent
    of a large file is invisible in S3, and paid for: let a lifecycle rule of the bucket end such uploads.
    Two publishers at once are kept apart by `lease`.

    Parameters
    ----------
    made
        What was made. Empty folders in it do not arrive.
    record
        What it was made from, as `published` returns it.
    sure
        Called when all but the record is there; what it raises keeps the record from being written
        (`Lease.check`).

    Raises
    ------
    StorageError
        If it cannot be written, or if files lie there that MISO did not put there.
    """
    check_writable(url)
    text = json.dumps(record, indent=1).encode()
    with faults(url, "written"):
        fs, place = reach(url)
        if not (sources := _sources(made, place)):
            raise StorageError(f"{shown(url)}: there is nothing to publish in {made}; expected files")
        _check_ours(fs, place, url, sources)
        begun = f"{place}/{BEGUN}" if made.is_dir() else place + BEGUN
        fs.pipe_file(begun, b"{}")
        _remove(fs, f"{place}/{RECORD}", place + RECORD)
        for left in _not_spoken_for(_present(fs, place), place) - sources.keys() - {begun}:
            fs.rm_file(left)
        fs.put(list(sources.values()), list(sources), **together(fs, sending=True))
        sure()
        fs.pipe_file(begun.removesuffix(BEGUN) + RECORD, text)
        _remove(fs, f"{place}/{BEGUN}", place + BEGUN)


def published(url: str) -> dict[str, JSON] | None:
    """Return the record of the result at a URL (or path), None where there is no whole result.

    Raises
    ------
    StorageError
        If the store does not answer, or what it has is no record.
    """
    with faults(url, "read"):
        fs, place = reach(url)
        for record in (f"{place}/{RECORD}", place + RECORD):
            try:
                return _parse(fs.cat_file(record, end=LONGEST), url)
            except (FileNotFoundError, NotADirectoryError):
                continue
    return None


def below(url: str) -> tuple[list[str], list[str]]:
    """Name the folders below a URL that hold a whole result, and those without a record; hidden ones apart.

    Raises
    ------
    StorageError
        If the store does not answer, or lists nothing.
    """
    if is_web(url):
        raise StorageError(
            f"{shown(url)}: a web server does not list what is there; expected a store, such as s3://bucket/name"
        )
    with faults(url, "read"):
        fs, place = reach(url)
        start = f"{place}/"
        keys = [key.removeprefix(start) for key in fs.find(place, detail=True) if key.startswith(start)]
    folders = {key.partition("/")[0] for key in keys if "/" in key and not key.startswith(".")}
    whole = folders.intersection(key.removesuffix(f"/{RECORD}") for key in keys if key.endswith(f"/{RECORD}"))
    return sorted(whole), sorted(folders - whole)


def check_writable(url: str) -> None:
    """Insist on a place that can be written to, without asking it.

    Raises
    ------
    StorageError
        If it is on a web server.
    """
    if is_web(url):
        raise StorageError(
            f"{shown(url)} can only be read; expected a store to write to, such as s3://bucket/name"
        )


def _check_ours(fs: FileSystem, place: str, url: str, sources: Mapping[str, str]) -> None:
    """Refuse to replace what nothing says is ours; what is published where it was made is."""
    present = _present(fs, place) - {Path(source).absolute().as_posix() for source in sources.values()}
    notes = [start + note for start in (f"{place}/", place) for note in (RECORD, BEGUN)]
    if present and present.isdisjoint(notes) and not any(exists(fs, note) for note in notes[2:]):
        raise StorageError(
            f"{shown(url)} holds {len(present)} files that MISO did not write (first: "
            f"{min(present).rpartition('/')[2]!r:.80}); choose another name, or remove them"
        )


def _present(fs: FileSystem, place: str) -> set[str]:
    """Return all there is: the object of that name, and what lies in the folder of that name."""
    return set(fs.find(place, detail=True)) | ({place} if exists(fs, place) else set())


def _not_spoken_for(present: set[str], place: str) -> set[str]:
    """Leave out results in a folder that have records of their own, and who is making one."""
    own = {f"{place}/{RECORD}", place + RECORD}
    results = tuple(key.removesuffix(RECORD) for key in present - own if key.endswith(RECORD))
    return {key for key in present if not key.startswith(results) and not key.endswith(LEASE)}


def _remove(fs: FileSystem, *paths: str) -> None:
    for path in paths:
        if exists(fs, path):
            fs.rm_file(path)


def _sources(made: Path, place: str) -> dict[str, str]:
    """Return the files to copy by their path there."""
    if made.is_file():
        return {place: str(made)}
    files = {file.relative_to(made).as_posix(): file for file in sorted(made.rglob("*")) if file.is_file()}
    return {f"{place}/{key}": str(file) for key, file in files.items() if key not in (RECORD, BEGUN)}


def _parse(text: bytes, url: str) -> dict[str, JSON]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise StorageError(
            f"the record of {shown(url)} is damaged ({err!s:.80}); remove it and make it again"
        ) from err
    if not isinstance(record, dict):
        raise StorageError(f"the record of {shown(url)} is no JSON object; remove it and make it again")
    return record
