"""A run that a command reads: at a path, on the model hub, or at a URL by way of a copy in the cache."""

from pathlib import Path

from miso.storage.fetched import fetch
from miso.storage.remote import is_url


def fetched_run(run: str, cache: Path) -> Path | str:
    """Return a run here; one at a URL is fetched (`hf:` names are for the loader).

    Raises
    ------
    StorageError
        If it is not whole, or cannot be read.
    """
    return fetch(run, cache) if is_url(run) else run if run.startswith("hf:") else Path(run)
