"""Memory that activations pass through again and again, kept rather than handed back each time."""

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt(3)."""
MOST = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Have glibc keep what is freed for the next use; return whether it does. Elsewhere nothing changes.

    By default it returns arrays of megabytes to the system as soon as they are freed, and the system clears
    every page of the next one. On a CPU with units for bfloat16 matrices that is a fifth of a ViT's time.
    The process then holds until it ends what it needed most, and gaps that nothing fits into: of an encoder
    few, since its tensors have few sizes; a training would need a third more and gain nothing.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, MOST))
