"""The file system behind a URL: opened with retries, and what goes wrong there told in one line."""

import errno
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeGuard
from urllib.parse import unquote, urlsplit

from miso.errors import StorageError
from miso.storage.disk import Disk

SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
"""At least two letters, so that `C:/` is a path."""

CREDENTIALS: Final = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (and AWS_ENDPOINT_URL where the store "
    "is not Amazon's)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "hf": "HF_TOKEN",
}
"""Environment variables that say who is asking, by protocol."""

ALIASES: Final = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az"}

LIBRARIES: Final = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
)
"""Bases of the errors that stores raise and that are no `OSError`, by module."""

RECORD: Final = ".miso.json"
"""Ends the name of what says what a result was made from; there only once all of it is."""

BEGUN: Final = ".miso.begun"
"""Ends the name of what says that a result here is ours, and perhaps not all of it."""

LEASE: Final = ".lease"
"""Ends the name of what says who is making a result."""

TOGETHER: Final = 8
"""Files in flight at a time."""

PART: Final = 2**24
"""Bytes that a large S3 object is sent and fetched in, several at a time: 160 MB of memory for one."""

PARTS: Final = 4
"""Parts of one S3 object in flight at a time."""


ATTEMPTS: Final = 3
"""Tries of the S3 library at a request that the store answered with "busy"; lost connections get more."""


class FileSystem(Protocol):
    """What is used of an `fsspec.AbstractFileSystem`; paths have no protocol."""

    protocol: str | tuple[str, ...]
    async_impl: bool

    def info(self, path: str) -> dict[str, object]:
        """Name, size (bytes), type and whatever else the store tells."""
        ...

    def find(self, path: str, *, detail: bool) -> dict[str, dict[str, object]]:
        """List all files under a folder with their `info`."""
        ...

    def cat_file(self, path: str, *, end: int) -> bytes:
        """Read the first bytes of a file."""
        ...

    def pipe_file(self, path: str, value: bytes, **options: str) -> object:
        """Write a file in one go."""
        ...

    def get(self, rpath: list[str], lpath: list[str], **options: int) -> object:
        """Download files."""
        ...

    def put(self, lpath: list[str], rpath: list[str], **options: int) -> object:
        """Upload files."""
        ...

    def rm_file(self, path: str) -> None:
        """Remove one file."""
        ...


class S3(FileSystem, Protocol):
    """What is used of an `s3fs.S3FileSystem` beyond that."""

    def call_s3(self, method: str, **request: str) -> object:
        """Make a request that no other method makes."""
        ...


def is_url(text: str) -> bool:
    """Whether this is a URL (`s3://…`, `https://…`, `file://…`) rather than a path or a drive."""
    return SCHEME.match(text) is not None


def local_path(place: str) -> Path | None:
    """Return the path of a plain path or `file://` URL, None for any other URL."""
    if not is_url(place):
        return Path(place)
    parts = urlsplit(place)
    return Path(unquote(parts.path)) if parts.scheme.lower() == "file" else None


def shown(url: str) -> str:
    """Return a URL without what may be secret: user, password and query (a signature)."""
    parts = urlsplit(url)
    query = parts.query and "?…"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}" if parts.scheme else url


def file_name(url: str) -> str:
    """Return the last part of a URL, which a copy is named after."""
    path = unquote(urlsplit(url).path) if is_web(url) else url.partition("://")[2]
    return safe_name(path.rstrip("/").rpartition("/")[2], url)


def safe_name(relative: str, url: str) -> str:
    """Return a key relative to its folder if, as a path, it stays there; refuse it otherwise."""
    parts = relative.split("/")
    if any(part in ("", ".", "..") for part in parts) or not relative.isprintable() or "\\" in relative:
        raise StorageError(
            f"{shown(url)}: {relative!r:.80} cannot be a file of a folder here; expected plain names; "
            "rename or remove that object"
        )
    return relative


def reach(url: str) -> tuple[FileSystem, str]:
    """Open the file system of a URL (or of a local path); return it with the path there.

    Listings are never cached, since others write too. S3 requests are repeated by its own library.
    """
    if (local := local_path(url)) is not None:
        return Disk(), local.absolute().as_posix()
    from fsspec.core import url_to_fs

    if "::" in url:
        raise StorageError(
            f"{shown(url)} is a chain of URLs, which is not read; pass the URL of the data itself"
        )
    try:
        fs, path = url_to_fs(url, use_listings_cache=False, **_options(_protocol(url)))
    except ImportError as err:
        extra = "pip install 'miso-spatial[cloud]'" if _protocol(url) == "s3" else f"{err!s:.120}"
        raise StorageError(f"{shown(url)}: no library for {_protocol(url)}:// is installed; {extra}") from err
    except ValueError as err:
        raise StorageError(
            f"{shown(url)} cannot be opened: {err!s:.120}; expected s3://bucket/key or so"
        ) from err
    if "/" not in path.strip("/") if _protocol(url) in CREDENTIALS else not path.strip("/"):
        raise StorageError(
            f"{shown(url)} names no object; expected a key too, such as s3://bucket/folder/name"
        )
    return fs, path.rstrip("/")


@contextmanager
def faults(url: str, verb: str) -> Iterator[None]:
    """Turn what a store raises into a `StorageError`; `verb` is "read" or "written"."""
    try:
        yield
    except _errors() as err:
        raise StorageError(f"{shown(url)} cannot be {verb}: {_reason(url, err)}") from err


def exists(fs: FileSystem, path: str) -> bool:
    """Whether there is a file (no folder) at a path."""
    try:
        return fs.info(path)["type"] != "directory"
    except (FileNotFoundError, NotADirectoryError):
        return False


def together(fs: FileSystem, *, sending: bool = False) -> dict[str, int]:
    """Return the options that bound how much is in flight."""
    parts = {"chunksize": PART} if sending and is_s3(fs) else {}
    return {"batch_size": TOGETHER, **parts} if fs.async_impl else {}


def is_web(url: str) -> bool:
    """Whether this lies on a web server, which can only be read and lists no folders."""
    return url.lower().startswith(("http://", "https://"))


def is_s3(fs: FileSystem) -> TypeGuard[S3]:
    """Whether requests to this store can be made conditional on an ETag."""
    return "s3" in fs.protocol and fs.async_impl


def mark(info: Mapping[str, object]) -> str:
    """Name the version of a file: size and ETag (or hash), else size and time; empty if neither is told."""
    for known in (
        ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5"),
        ("generation", "mtime", "LastModified", "last_modified", "Last-Modified", "updated", "created"),
    ):
        if found := [f"{key}={info[key]}" for key in known if info.get(key)]:
            return f"{info.get('size')} {found[0]}"
    return ""


def _protocol(url: str) -> str:
    scheme = url.partition("://")[0].lower()
    return ALIASES.get(scheme, scheme)


def _options(protocol: str) -> dict[str, object]:
    if protocol != "s3":
        return {}
    from fsspec.config import conf

    theirs = conf.get("s3", {}).get("config_kwargs", {})
    defaults = {"default_block_size": PART, "max_concurrency": PARTS, **conf.get("s3", {})}
    return {
        **defaults,
        "config_kwargs": {"retries": {"mode": "standard", "max_attempts": ATTEMPTS}, **theirs},
    }


def _errors() -> tuple[type[Exception], ...]:
    """Return what stores raise, for the libraries that are in use, without importing any."""
    return OSError, *(
        getattr(sys.modules[module], name) for module, name in LIBRARIES if module in sys.modules
    )


def _reason(url: str, err: Exception) -> str:
    said = " ".join(str(err).split()).replace(url, shown(url))[:160]
    if isinstance(err, OSError) and err.filename is not None:  # on this machine
        free = "; free some space" if err.errno == errno.ENOSPC else ""
        return f"{err.strerror}: {err.filename!s:.120}{free}"
    if isinstance(err, FileNotFoundError):
        return "there is no such object, or none that may be seen; check its name (and the bucket's)"
    if isinstance(err, PermissionError) or _denied(err):
        variables = CREDENTIALS.get(_protocol(url), "the credentials that this store wants")
        return f"access is denied or credentials are absent ({said or type(err).__name__}); set {variables}"
    return f"{said or type(err).__name__}; try again, or check the network and the store"


def _denied(err: Exception) -> bool:
    return "Credentials" in type(err).__name__ or getattr(err, "status", None) in (401, 403)
