"""Bundles on the model hub: pushed in one commit, fetched at a revision; each failure is one line."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miso.encoders.hub import ANSWER_S, is_offline, status_of
from miso.errors import CheckpointError
from miso.models.bundle import CARD, FILES, INDEX, files_of, is_bundle, read_bundle
from miso.models.trust import FILE as TRUST

PREFIX = "hf:"
FETCHED = (INDEX, CARD, *(f"{folder}{file}" for folder in ("", "*/") for file in (*FILES, TRUST)))
"""What is fetched of a repository: no code, and no pickle."""
REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubName:
    """A repository of the hub, and its revision (a branch, a tag or a commit; None is the main branch)."""

    repo: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "HubName":
        """Read `hf:owner/model` or `hf:owner/model@revision`.

        Raises
        ------
        CheckpointError
            If it is none.
        """
        repo, at, revision = text.removeprefix(PREFIX).partition("@")
        if not REPO.fullmatch(repo) or (at and not re.fullmatch(r"[\w.][\w./-]*", revision)):
            raise CheckpointError(
                f"{text!r} names no model; expected hf:owner/model or hf:owner/model@revision"
            )
        return cls(repo=repo, revision=revision or None)


def push_to_hub(
    path: Path | str,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = True,
    endpoint: str | None = None,
) -> str:
    """Push a bundle's folder to the hub in one commit and return the commit's id.

    The repository is made if there is none. The bundle is read first: one that is damaged is not pushed.

    Parameters
    ----------
    repo_id
        `owner/model`, with or without `hf:` before it.
    token
        Of the hub; None takes that of HF_TOKEN or of an earlier login.
    private
        Whether a new repository is private; one that is there keeps what it is.
    endpoint
        Address of another hub.

    Raises
    ------
    CheckpointError
        If the folder is no whole bundle, the network is out of bounds, or the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    folder, name = Path(path), HubName.parse(repo_id)
    if not is_bundle(folder):
        raise CheckpointError(f"no bundle at {folder}; write one first: miso share RUN --out {folder}")
    files = [INDEX, CARD, *files_of(list(read_bundle(folder).checkpoints))]
    if is_offline():
        raise CheckpointError(f"HF_HUB_OFFLINE is set, so {name.repo!r} cannot be pushed; unset it")
    api = HfApi(endpoint=endpoint, token=token)
    additions = [
        CommitOperationAdd(path_in_repo=file, path_or_fileobj=folder / file)
        for file in files
        if (folder / file).is_file()  # a card may have been taken out
    ]
    errors = _errors()
    try:
        _knock(api, name, may_be_new=True)
        api.create_repo(name.repo, private=private, exist_ok=True)
        made = api.create_commit(
            name.repo, additions, commit_message="Share a model", revision=name.revision or "main"
        )
    except errors as err:
        raise CheckpointError(_refusal(name, err, "pushed to", api.endpoint)) from err
    return str(made.oid)


def fetch_bundle(
    name: HubName, *, token: str | None = None, endpoint: str | None = None, cache: Path | None = None
) -> Path:
    """Get a bundle's files and return their folder, which bears the commit's name.

    With HF_HUB_OFFLINE=1 only the cache is looked at and no socket is opened. What is in the cache is used if
    the hub does not answer.

    Raises
    ------
    CheckpointError
        If it is unknown, closed, not in the cache while offline, or the hub does not answer in time.
    """
    from huggingface_hub import HfApi, snapshot_download

    offline, errors = is_offline(), _errors()
    api = HfApi(endpoint=endpoint, token=token)

    def download(*, cached: bool) -> Path:
        return Path(
            snapshot_download(
                name.repo,
                revision=name.revision,
                allow_patterns=list(FETCHED),
                local_files_only=cached,
                cache_dir=cache,
                token=token,
                endpoint=endpoint,
            )
        )

    try:
        if not offline:
            _knock(api, name)
        return download(cached=offline)
    except errors as err:
        refusal = _refusal(name, err, "fetched from", api.endpoint)
        folder = None if offline or _has_answered(err) else _cached(download, errors)
        if folder is None:
            raise CheckpointError(refusal) from err
    log.warning("%s; what was fetched before is used: %s", refusal, folder.name)
    return folder


def _cached(download: Callable[..., Path], errors: tuple[type[Exception], ...]) -> Path | None:
    try:
        return download(cached=True)
    except errors:
        return None


def _has_answered(err: BaseException) -> bool:
    """Whether the hub itself said no, rather than nothing."""
    status = status_of(err)
    return status is not None and status < 500


def _knock(api: Any, name: HubName, *, may_be_new: bool = False) -> None:
    """Ask for a model's description, so that a hub that never answers, or says no, is noticed first."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        api.model_info(name.repo, timeout=ANSWER_S)
    except RepositoryNotFoundError as err:
        if not may_be_new or isinstance(err, GatedRepoError):
            raise


def _errors() -> tuple[type[Exception], ...]:
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the HTTP client in use

    return (OSError, ValueError, RuntimeError, HTTPError)


def _refusal(name: HubName, err: BaseException, done: str, endpoint: str) -> str:
    """Say in one line why the hub did not do it, and what to do."""
    from huggingface_hub import errors

    what, url = f"the model {name.repo!r}", f"{endpoint}/{name.repo}"
    if isinstance(err, errors.GatedRepoError):
        return f"{what} is gated; ask for access at {url}, then set HF_TOKEN"
    if isinstance(err, errors.RevisionNotFoundError):
        return f"{what} has no revision {name.revision!r}; see {url}"
    if isinstance(err, errors.RepositoryNotFoundError):
        return f"no model {name.repo!r} without a token; see {url}, and set HF_TOKEN"
    if is_offline():
        return f"{what} is not in the cache, and HF_HUB_OFFLINE is set; fetch it where the hub can be had"
    if status_of(err) in (401, 403):
        return (
            f"{what} is closed to this user; see {url}, and set HF_TOKEN to a token that may write or read it"
        )
    why = type(err.__cause__ or err).__name__
    return f"{what} cannot be {done} {url} ({why}: {' '.join(str(err).split())[:100]})"
