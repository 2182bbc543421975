"""A bundle: one or several Checkpoints to share, with each gene's reliability and a model card."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from miso.errors import CheckpointError
from miso.launch.provenance import stamp
from miso.models.card import Facts, card
from miso.models.checkpoint import Checkpoint, load_checkpoint
from miso.models.reliability import as_records, from_records
from miso.models.trust import FILE as TRUST
from miso.storage import replace_folder
from miso.untrusted.documents import read_json

INDEX, CARD = "bundle.json", "README.md"
FILES = ("model.safetensors", "config.json")
"""What every Checkpoint has; what it knows of its limits (`trust.FILE`) not every one has."""
SCHEMA = 1
HERE = "."
"""The member that is the bundle's own folder: the only one of a single Checkpoint."""
MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What is shared.

    Attributes
    ----------
    checkpoints
        By the name of their folder in the bundle; `"."` is the only one of a single Checkpoint.
    reliability
        A row a gene (see `miso.models.reliability`).
    facts
        What the model card says beside what the Checkpoints know.
    """

    checkpoints: Mapping[str, Checkpoint]
    reliability: pd.DataFrame
    facts: Facts


def write_bundle(bundle: Bundle, folder: Path) -> bool:
    """Write a bundle, whole or not at all; return False if the very same is there already.

    Raises
    ------
    CheckpointError
        If the folder holds something else.
    """
    partial = folder.with_name(f".{folder.name}.partial-bundle")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _fill(partial, bundle)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            if _content(folder) == _content(partial):
                return False
            raise CheckpointError(f"{folder} is there and holds something else; choose another folder")
        replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle; every file is held against the hash that its index has of it.

    Raises
    ------
    CheckpointError
        If something is absent, damaged, or of another layout.
    """
    index = _read_index(folder)
    try:
        members, hashes = list(index["members"]), dict(index["sha256"])
        if not members or not all(isinstance(m, str) and (m == HERE or MEMBER.fullmatch(m)) for m in members):
            raise ValueError(f"its members are {str(members)[:60]}")
        named = [name for name in files_of(members) if not _may_lack(name) or name in hashes]
        _check_hashes(folder, {name: str(hashes[name]) for name in named})
        extra = [name for name in files_of(members) if name not in named and (folder / name).is_file()]
        if extra:
            raise ValueError(f"it has no hash of {extra[0]}")
        table = from_records(index["genes"])
        facts = Facts.from_json(index["facts"])
    except (KeyError, TypeError, ValueError) as err:
        raise CheckpointError(f"{folder / INDEX} is damaged ({_short(err)}); fetch the bundle again") from err
    checkpoints = {member: load_checkpoint(folder / member) for member in members}
    for member, checkpoint in checkpoints.items():
        if checkpoint.genes != list(table.index):
            raise CheckpointError(
                f"the genes of {folder / member} are others, or in another order, than those of its {INDEX}; "
                "fetch the bundle again"
            )
    return Bundle(checkpoints=checkpoints, reliability=table, facts=facts)


def is_bundle(folder: Path) -> bool:
    """Whether a folder says that it is one."""
    return (folder / INDEX).is_file()


def files_of(members: Sequence[str]) -> list[str]:
    """Name the files of a bundle that its index has hashes of, as far as they are there."""
    files = (*FILES, TRUST)
    return [name if member == HERE else f"{member}/{name}" for member in members for name in files]


def _may_lack(file: str) -> bool:
    return Path(file).name not in FILES


def _fill(folder: Path, bundle: Bundle) -> None:
    for member, checkpoint in bundle.checkpoints.items():
        if member == HERE:
            checkpoint.write(folder)
        else:
            checkpoint.save(folder / member)
    members = list(bundle.checkpoints)
    index = {
        "schema": SCHEMA,
        "kind": "miso-bundle",
        "members": members,
        "sha256": {name: _sha256(folder / name) for name in files_of(members) if (folder / name).is_file()},
        "facts": bundle.facts.as_json(),
        "genes": as_records(bundle.reliability),
        **stamp(),
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False, allow_nan=False))
    text = card(list(bundle.checkpoints.values()), bundle.reliability, bundle.facts)
    (folder / CARD).write_text(text, encoding="utf-8")


def _read_index(folder: Path) -> dict[str, Any]:
    file = folder / INDEX
    if not file.is_file():
        raise CheckpointError(f"no bundle at {folder}: {INDEX} is missing (miso share writes bundles)")
    try:
        index = read_json(file)
    except ValueError as err:
        raise CheckpointError(f"{file} is damaged ({_short(err)}); fetch the bundle again") from err
    if not isinstance(index, dict) or index.get("kind") != "miso-bundle":
        raise CheckpointError(f"{file} is no index of a bundle; miso share writes bundles")
    if index.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{folder} has layout {index.get('schema')}, this version of MISO reads {SCHEMA}"
        )
    return index


def _check_hashes(folder: Path, hashes: Mapping[str, str]) -> None:
    for name, wanted in hashes.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"the bundle at {folder} is not whole: {name} is missing; fetch it again")
        if _sha256(folder / name) != wanted:
            raise CheckpointError(
                f"{folder / name} is not the file that {INDEX} speaks of (its sha256 differs): damaged or "
                "changed since; fetch the bundle again"
            )


def _content(folder: Path) -> Any:
    """Return what makes a bundle what it is: all but when and by which version it was written."""
    if not is_bundle(folder):
        return None
    index = _read_index(folder)
    members = [member for member in index.get("members", []) if isinstance(member, str)]
    try:
        settings = [read_json(folder / member / "config.json") for member in members]
    except (FileNotFoundError, ValueError):
        return None
    tensors = [file for file in files_of(members) if file.endswith(".safetensors")]
    weights = {name: _sha256(folder / name) for name in tensors if (folder / name).is_file()}
    kept = [{key: value for key, value in about.items() if key not in stamp()} for about in settings]
    return members, weights, kept, index.get("facts"), index.get("genes")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _short(err: BaseException) -> str:
    return " ".join(str(err).split())[:120]
