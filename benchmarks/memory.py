"""Peak memory of a process, in MiB."""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
KIB, BYTE = 1024, 1024**2


def peak_mib() -> float:
    """Most memory that this process held since its program began.

    Linux carries ru_maxrss over through fork and exec, so that a child of a large process reports its
    parent's peak; VmHWM begins anew with the program. Elsewhere ru_maxrss is read, in bytes on macOS.
    """
    if STATUS.is_file():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / KIB
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (BYTE if sys.platform == "darwin" else KIB)
