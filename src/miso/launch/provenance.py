"""Where things come from: fingerprints of inputs, versions, and how two sets of settings differ."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

WHOLE_BELOW = 64 * 2**20
"""Files up to this many bytes are hashed whole; of larger ones the size and three stretches of 1 MiB are."""

CHUNK_HEAD = 2**12
"""Bytes that are hashed of each file of a folder: its many chunks are small and compressed."""


def fingerprint(path: Path) -> str:
    """Name a file's content: sha256 of it all, or of its size and its beginning, middle and end if large.

    Of a folder (a Zarr image), the names, sizes and beginnings of all its files count.
    """
    if path.is_dir():
        return _fingerprint_folder(path)
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= WHOLE_BELOW:
            while block := file.read(2**20):
                digest.update(block)
        else:
            for start in (0, size // 2, size - 2**20):
                file.seek(start)
                digest.update(file.read(2**20))
    return digest.hexdigest()[:16]


def _fingerprint_folder(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {file.stat().st_size}\n".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(CHUNK_HEAD))
    return digest.hexdigest()[:16]


def digest(value: Any) -> str:
    """Name a value that JSON can hold: the beginning of the sha256 of its JSON, keys in order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def stamp() -> dict[str, Any]:
    """Return the package's version and the time, for what is written now."""
    return {
        "miso_version": version("miso-spatial"),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested settings into one level with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Say for each setting that differs what was found and what is wanted now."""
    old, new = (flatten(json.loads(json.dumps(settings))) for settings in (found, wanted))
    return [
        f"{key} is {old.get(key, 'absent')!s:.40}, now {new.get(key, 'absent')!s:.40}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
