"""Texts in the chunks of a Zarr store, counted before they are read: a damaged count takes all memory."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numcodecs

from miso.errors import SampleError
from miso.samples.vendors.files.damage import refusing_damage
from miso.untrusted.documents import read_json

COUNT_BYTES = 4
"""A chunk of texts begins with how many there are, little-endian."""


def check_texts(folder: Path) -> None:
    """Look at every chunk of text within a folder of a Zarr store (format 2 or 3).

    Raises
    ------
    SampleError
        If a chunk claims another number of texts than it should have.
    """
    for described in [*folder.rglob("zarr.json"), *folder.rglob(".zarray")]:
        with refusing_damage(described):
            said = read_json(described)
            found = _texts_3(said) if described.name == "zarr.json" else _texts_2(said)
        if found is not None:
            _check_array(described, *found)


def _texts_3(said: Mapping[str, Any]) -> tuple[int, list[Any]] | None:
    """Return texts a chunk and compressors, or None if the array holds no text or is packed another way."""
    codecs = [dict(codec) for codec in said.get("codecs", ())]
    if not codecs or codecs[0].get("name") != "vlen-utf8":
        return None
    packed = [{"id": codec["name"], **dict(codec.get("configuration", {}))} for codec in codecs[1:]]
    if any(codec["id"] not in ("zstd", "gzip") for codec in packed):
        return None
    shape = said["chunk_grid"]["configuration"]["chunk_shape"]
    return _length(shape), [numcodecs.get_codec(codec) for codec in packed]


def _texts_2(said: Mapping[str, Any]) -> tuple[int, list[Any]] | None:
    filters = said.get("filters") or ()
    if [dict(codec).get("id") for codec in filters] != ["vlen-utf8"]:
        return None
    packed = said.get("compressor")
    return _length(said["chunks"]), [numcodecs.get_codec(dict(packed))] if packed else []


def _length(shape: Sequence[int]) -> int:
    return math.prod(int(side) for side in shape)


def _check_array(described: Path, expected: int, codecs: list[Any]) -> None:
    for chunk in described.parent.rglob("*"):
        if not chunk.is_file() or chunk.name.startswith(".") or chunk.name == "zarr.json":
            continue
        with refusing_damage(chunk):
            content = chunk.read_bytes()
            for codec in reversed(codecs):
                content = bytes(codec.decode(content))
        claimed = int.from_bytes(content[:COUNT_BYTES], "little")
        if claimed != expected:
            raise SampleError(
                f"{chunk} is damaged: it claims {claimed:,} texts, not {expected:,}; fetch it again"
            )
