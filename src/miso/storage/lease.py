"""One maker at a time for a result at a URL: a lease (seconds, wall clock) that lasts while it is renewed."""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from miso.errors import StorageError
from miso.storage.claim import Busy, claim
from miso.storage.remote import LEASE, FileSystem, faults, is_s3, local_path, reach, shown

LONGEST: Final = 2**12
"""Bytes of a lease that are read; ours have some 100."""

RENEWALS: Final = 3
"""Renewals in the time that a lease lasts."""

IN_MEMORY: Final = threading.Lock()
"""Makes the steps on a store without conditional writes one step, for the threads of this process."""


@contextmanager
def lease(url: str, *, seconds: float = 60.0) -> Iterator["Lease"]:
    """Hold the right to make the result at a URL, while a thread renews it; a local path is held by `claim`.

    The right is an object `URL.lease` that says who has it until when. It is created only if absent, and
    renewed, taken over after its time, and removed only if unchanged since it was read:

    - on S3 and stores with its conditional writes (If-None-Match, If-Match), by the store itself: of any
      number of makers on any hosts, one has it;
    - in `memory://`, by a lock: of the threads of this process, one has it;
    - elsewhere, as safely as the library creates a file only if absent. A lease whose time is over is removed
      and created anew, so two may take it over within the same moment; the one whose object does not stay
      finds out at its next `check`.

    Clocks of the hosts have to agree within a small part of `seconds`. Nobody can stop a maker that was
    suspended from going on: call `Lease.check` before what others see (`publish(…, sure=held.check)`).
    A store that takes S3's requests but ignores their conditions is found out, and refused.

    Raises
    ------
    Busy
        If another maker has it now.
    StorageError
        If the store cannot be reached or ignores conditions, or the object is no lease.
    """
    if (path := local_path(url)) is not None:
        with claim(path):
            yield Lease(url=url, seconds=seconds)
        return
    held, over = _take(url, seconds), threading.Event()
    renewing = threading.Thread(target=_keep, args=(held, over), name=f"lease of {shown(url)}", daemon=True)
    renewing.start()
    try:
        yield held
    finally:
        over.set()
        renewing.join()
        with suppress(StorageError):  # it ends by itself
            held.release()


@dataclass(frozen=True, slots=True)
class Seen:
    """A lease as it was read: its text, and what the store calls this version of it (S3: the ETag)."""

    text: bytes
    version: str = ""


@dataclass(slots=True, kw_only=True)
class Lease:
    """The right to make a result, held by this process until `until` (seconds since 1970), or lost."""

    url: str
    seconds: float
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    until: float = 0.0
    lost: bool = False
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Renew the lease; what is done within `seconds` from here is done alone.

        Raises
        ------
        StorageError
            If another maker took it over, or the store does not answer.
        """
        if local_path(self.url) is None and not self.renew():
            raise StorageError(
                f"the lease of {shown(self.url)} was lost, not renewed for {self.seconds:g} s: "
                "another process may make the result now; nothing more is written, run it again"
            )

    def take(self) -> bool:
        """Create the lease, or take it over after its time; return whether that was possible."""
        fs, path = _open(self.url)
        with self._one_at_a_time, faults(self.url + LEASE, "written"):
            if (old := _read(fs, path)) is not None:
                _check_over(old, self.url)
            taken = self._write(fs, path, old, anew=True)
            if taken and is_s3(fs):
                _check_conditions(fs, path, self.url)
            return taken

    def renew(self) -> bool:
        """Make it last `seconds` from now; return whether it is still held."""
        fs, path = _open(self.url)
        with self._one_at_a_time, faults(self.url + LEASE, "written"):
            old = _read(fs, path)
            self.lost = self.lost or not self._owns(old)
            return not self.lost and self._write(fs, path, old, anew=False)

    def release(self) -> None:
        """Let others have it at once, if it is still held."""
        fs, path = _open(self.url)
        with self._one_at_a_time, faults(self.url + LEASE, "removed"):
            old = _read(fs, path)
            if old is not None and self._owns(old) and time.time() < self.until:
                _remove(fs, path, old)
            self.lost = True

    def _owns(self, seen: Seen | None) -> bool:
        return seen is not None and self.token.encode() in seen.text

    def _write(self, fs: FileSystem, path: str, old: Seen | None, *, anew: bool) -> bool:
        until = time.time() + self.seconds
        maker = f"{socket.gethostname()}:{os.getpid()}"
        text = json.dumps({"maker": maker, "token": self.token, "until": until}).encode()
        self.lost = not _swap(fs, path, old, text, anew=anew)
        self.until = until
        return not self.lost


def _take(url: str, seconds: float) -> Lease:
    held = Lease(url=url, seconds=seconds)
    if not held.take():
        raise Busy(f"{shown(url)} was just begun by another process; wait for it, or choose another name")
    return held


def _keep(held: Lease, over: threading.Event) -> None:
    """Renew a lease until told to stop, or until it is lost."""
    while not over.wait(held.seconds / RENEWALS) and not held.lost:
        with suppress(StorageError):  # the store may answer next time; `check` tells if it does not
            held.renew()


def _check_over(seen: Seen, url: str) -> None:
    try:
        told = json.loads(seen.text)
        maker, until = str(told["maker"]), float(told["until"])
        clock = datetime.fromtimestamp(until).astimezone().isoformat(sep=" ", timespec="seconds")
    except (ValueError, TypeError, LookupError, OverflowError, OSError, RecursionError) as err:
        raise StorageError(f"{shown(url)}{LEASE} is no lease; remove it if nobody makes that result") from err
    if time.time() < until:
        raise Busy(
            f"{shown(url)} is being made by {maker!r:.100}, who has it until {clock} or longer; wait, or "
            "choose another name"
        )


def _open(url: str) -> tuple[FileSystem, str]:
    fs, path = reach(url)
    return fs, path + LEASE


def _read(fs: FileSystem, path: str) -> Seen | None:
    """Read a lease; its version is asked for first, so that the text is of that version or a later one."""
    try:
        version = str(fs.info(path).get("ETag", ""))
        return Seen(fs.cat_file(path, end=LONGEST), version)
    except FileNotFoundError:
        return None


def _swap(fs: FileSystem, path: str, old: Seen | None, text: bytes, *, anew: bool) -> bool:
    """Write a lease only if it still is `old`; return whether it now is ours.

    A request whose answer was lost is repeated by the library, and then refused: so what counts is not the
    answer, but what lies there afterwards.
    """
    with _one_step(fs):
        try:
            _write_if(fs, path, old, text, anew=anew)
        except FileExistsError:
            pass
        except OSError:
            if _read(fs, path) == old:
                raise
        now = _read(fs, path)
    return now is not None and now.text == text


def _write_if(fs: FileSystem, path: str, old: Seen | None, text: bytes, *, anew: bool) -> None:
    if old is None:
        fs.pipe_file(path, text, mode="create")
    elif is_s3(fs):
        fs.pipe_file(path, text, IfMatch=old.version)
    elif _read(fs, path) == old:
        if anew:
            fs.rm_file(path)
        fs.pipe_file(path, text, mode="create" if anew else "overwrite")


def _check_conditions(fs: FileSystem, path: str, url: str) -> None:
    """Make two requests that the store has to refuse; done, they would change nothing."""
    text = fs.cat_file(path, end=LONGEST)
    for impossible in ({"mode": "create"}, {"IfMatch": '"0"'}):
        try:
            fs.pipe_file(path, text, **impossible)
        except OSError:
            continue
        raise StorageError(
            f"the store of {shown(url)} ignores the conditions If-None-Match and If-Match, so two processes "
            "could make the same result; use a version of it that has conditional writes, or a local folder"
        )


def _remove(fs: FileSystem, path: str, seen: Seen) -> None:
    """Remove a lease only if it still is what was seen."""
    if is_s3(fs):
        bucket, _, key = path.partition("/")
        fs.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=seen.version)
        return
    with _one_step(fs):
        if _read(fs, path) == seen:
            fs.rm_file(path)


def _one_step(fs: FileSystem) -> AbstractContextManager[object]:
    """Keep the other threads of this process out, where the store cannot."""
    return nullcontext() if is_s3(fs) else IN_MEMORY
