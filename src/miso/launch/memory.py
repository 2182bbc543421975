"""Memory of this machine, and what this process may take of it, in bytes."""

import os
from pathlib import Path

from miso.errors import ConfigError, MisoError

MEMORY = Path("/proc/meminfo")
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""What a container may use, where this runs in one."""
STATM = Path("/proc/self/statm")
UNKNOWN = 8 * 2**30
"""Taken for all there is where nothing tells."""


UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
FLOOR = 64 * 2**20
"""What any work takes at least, beside what is loaded for it."""
SHARE = 8
"""One kind of thing that is only held to be faster gets this part of what is left."""
VIPS_CACHE, VIPS_THREAD = 100 * 2**20, 512 * 2**20
"""What libvips keeps of earlier images unless told otherwise; and the limit for which it gets a thread."""

_limit: list[int] = []


def limit_memory(limit: int | None) -> None:
    """Let this process take so many bytes in all; None leaves it what the machine has.

    Results do not change by it. What is loaded (libraries, an encoder, models) takes what it takes.
    """
    _limit[:] = [] if limit is None else [limit]
    if limit is not None:
        threads = min(max(limit // VIPS_THREAD, 1), os.cpu_count() or 1)
        os.environ.setdefault("VIPS_CONCURRENCY", str(threads))  # read when it is loaded
        import pyvips  # takes long to load

        pyvips.cache_set_max_mem(min(limit // SHARE, VIPS_CACHE))


def room_bytes() -> int | None:
    """Return what is left of this process's limit, 0 if it is used up; None where it has none."""
    return max(_limit[0] - resident_bytes(), 0) if _limit else None


def affordable(most: int, each: int) -> int:
    """How many things of so many bytes may be held before their use: `most`, by a limit fewer, but one."""
    room = room_bytes()
    return most if room is None else max(min(most, room // SHARE // max(each, 1)), 1)


def require(n_bytes: int, what: str, advice: str = "") -> None:
    """Make sure that so many bytes more may be taken, and FLOOR besides.

    Raises
    ------
    MisoError
        If this process has a limit that they do not fit in.
    """
    room = room_bytes()
    if room is not None and room < n_bytes + FLOOR:
        held, needed = resident_bytes() / 1e6, (n_bytes + FLOOR) / 1e6
        raise MisoError(
            f"{what} needs {needed:,.0f} MB beside the {held:,.0f} MB that the program and its models take, "
            f"more than --memory {_limit[0] / 1e6:.0f}MB; allow {1.1 * (held + needed):.0f}MB{advice}"
        )


def read_bytes(text: str) -> int:
    """Read an amount of memory, such as 4GB, 512 MiB or 4e9.

    Raises
    ------
    ConfigError
        If it is none.
    """
    words = text.strip().upper()
    unit = next((unit for unit in sorted(UNITS, key=len, reverse=True) if words.endswith(unit)), "")
    try:
        size = float(words.removesuffix(unit)) * UNITS.get(unit, 1)
    except ValueError as err:
        raise ConfigError(f"{text!r} is no amount of memory; write it as 4GB or 512MiB") from err
    if not 2**20 <= size < 2**63:
        raise ConfigError(
            f"--memory {text} is less than a megabyte, or more than there is; write it as 4GB or 512MiB"
        )
    return int(size)


def available_bytes() -> int:
    """Return what can be had without swapping: what the system says, or half of all memory.

    Of a process with a limit, what is left of it, at least a sixteenth.
    """
    there = min(_available(), _allowed())
    return min(there, *(max(limit - resident_bytes(), limit // 16) for limit in _limit), there)


def resident_bytes() -> int:
    """Return the memory that this process holds now; 0 where nothing tells."""
    try:
        pages = int(STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0  # not Linux
    return pages * os.sysconf("SC_PAGE_SIZE")


def _available() -> int:
    try:
        lines = MEMORY.read_text(encoding="ascii").splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kib) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        pass  # not Linux
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return UNKNOWN // 2


def _allowed() -> int:
    try:
        return int(LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no container, or one that may use all ("max")
        return 2**63 - 1
