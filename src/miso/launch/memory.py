"""Memory of this machine, in bytes."""

import os
from pathlib import Path

MEMORY = Path("/proc/meminfo")
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""What a container may use, where this runs in one."""
UNKNOWN = 8 * 2**30
"""Taken for all there is where nothing tells."""


def available_bytes() -> int:
    """Return what can be had without swapping: what the system says, or half of all memory."""
    return min(_available(), _allowed())


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
