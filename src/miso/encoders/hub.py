"""The model hub and its cache on this disk: what is there, and each way of not getting it, in one line."""

import os
from pathlib import Path

from miso.errors import EncoderError

FILES = ("config.json", "preprocessor_config.json", "model*.safetensors")
"""What is fetched of a model: no code, and no pickle."""
ANSWER_S = 10.0
"""Seconds in which the hub has to answer."""


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants

    in_env = os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES
    return in_env or bool(constants.HF_HUB_OFFLINE)


def page_of(repo: str) -> str:
    """Address of a model's page."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo}"


def has_token() -> bool:
    """Whether the hub would be shown a token: of HF_TOKEN, or of an earlier login."""
    from huggingface_hub import get_token

    return get_token() is not None


def cached_folder(repo: str) -> Path | None:
    """Return the snapshot of a model in the cache, whole or not, or None; no socket is opened."""
    from huggingface_hub import constants

    home = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    try:
        commit = (home / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    folder = home / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def fetch(repo: str, instead: str = "hf:<folder>") -> Path:
    """Get the files of a model and return their folder, which bears the commit's name; nothing is ever asked.

    With HF_HUB_OFFLINE=1 only the cache is looked at and no socket is opened. A model in the cache is used if
    the hub cannot be had. `instead` is what to pass for a copy that came another way.

    Raises
    ------
    EncoderError
        If the model is gated, unknown, not in the cache while offline, or the hub does not answer in time.
    """
    from huggingface_hub import errors, snapshot_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the HTTP client in use

    offline = is_offline()
    try:
        if not offline:
            knock(repo)
        fetched = snapshot_download(  # nosec B615  # no code, no pickle; weights are known by their hash
            repo, allow_patterns=list(FILES), local_files_only=offline
        )
        return Path(fetched)
    except errors.HFValidationError as err:
        raise EncoderError(f"{repo!r} names no model; expected hf:<folder> or hf:<owner>/<model>") from err
    except (OSError, HTTPError) as err:
        folder = None if offline else cached_folder(repo)
        if folder is not None and has_weights(folder):
            return folder
        raise EncoderError(refusal(repo, err, offline, instead)) from err


def knock(repo: str) -> None:
    """Ask the hub for a model's description, so that one that never answers is noticed.

    The downloads that follow have time limits of their own, but the first question to the hub has none.
    """
    from huggingface_hub import HfApi

    HfApi().model_info(repo, timeout=ANSWER_S)


def has_weights(folder: Path) -> bool:
    """Whether there are safetensors in a folder."""
    return any(folder.glob("model*.safetensors"))


def refusal(repo: str, err: BaseException, offline: bool, instead: str) -> str:
    """Say in one line why a model could not be had, and what to do."""
    from huggingface_hub import errors

    url, elsewhere = page_of(repo), f"download it where it can be had and pass {instead}"
    if isinstance(err, errors.GatedRepoError):
        return f"model {repo!r} is gated; ask for access at {url}, then set HF_TOKEN"
    if isinstance(err, errors.RepositoryNotFoundError):
        return f"no model {repo!r} without a token; see {url}, and set HF_TOKEN"
    if offline:
        return f"model {repo!r} is not in the cache, and HF_HUB_OFFLINE is set; {elsewhere}"
    if status_of(err) in (401, 403):
        return f"model {repo!r} is closed to this user; see {url}, and set HF_TOKEN"
    why = type(err.__cause__ or err).__name__
    return f"model {repo!r} cannot be fetched from {url} ({why}); {elsewhere}"


def status_of(err: BaseException) -> int | None:
    """HTTP status that an error stands for; the hub's client may have wrapped it in another one."""
    answers = (getattr(e, "response", None) for e in (err, err.__cause__))
    return next((answer.status_code for answer in answers if answer is not None), None)
