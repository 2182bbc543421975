"""Inputs and results at URLs: fetched whole, published whole, so that nothing half-written is ever read."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from miso.errors import StorageError
from miso.storage.fetched import fetch, free
from miso.storage.remote import (
    BEGUN,
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

__all__ = ["JSON", "fetch", "free", "is_url", "publish", "published"]

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

LONGEST: Final = 2**20
"""Bytes of a record that are read; ours have a few thousand."""


def publish(
    made: Path, url: str, record: Mapping[str, JSON], *, sure: Callable[[], None] = lambda: None
) -> None:
    """Copy a finished file or folder to a URL (or path); its record is written last.

    The record is `URL/.miso.json` of a folder, `URL.miso.json` of a file. An earlier record is removed first,
    and before the new one is written, so is whatever else an earlier attempt left. What a killed process sent
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
    if is_web(url):
        raise StorageError(
            f"{shown(url)} can only be read; expected a store to write to, such as s3://bucket/name"
        )
    text = json.dumps(record, indent=1).encode()
    with faults(url, "written"):
        fs, place = reach(url)
        if not (sources := _sources(made, place)):
            raise StorageError(f"{shown(url)}: there is nothing to publish in {made}; expected files")
        _check_ours(fs, place, url, sources)
        begun = f"{place}/{BEGUN}" if made.is_dir() else place + BEGUN
        fs.pipe_file(begun, b"{}")
        _remove(fs, f"{place}/{RECORD}", place + RECORD)
        for left in _present(fs, place) - sources.keys() - {begun}:
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
