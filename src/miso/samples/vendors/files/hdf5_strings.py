"""Strings of varying length in HDF5 files, read by a child process: damaged ones crash the HDF5 library.

The library (2.0) trusts the lengths that such a file states, and reads or allocates whatever they say. Space
Ranger itself writes strings of one length, which are read here and now; tools that rewrite its files do not.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from miso.errors import SampleError
from miso.samples.vendors.files.damage import one_line, refusing_damage

PATIENCE_S = 60
BYTES_A_S = 5e6
"""How long the child may take: a fixed time, and the file's size at this rate."""


def read_strings(path: Path, names: Sequence[str]) -> dict[str, pa.Array]:
    """Read datasets of strings, by name.

    Raises
    ------
    SampleError
        If they are damaged, whatever the library makes of that.
    """
    if not names:
        return {}
    child = Path(__file__).with_name("hdf5_child.py")
    command = [sys.executable, "-P", str(child), str(path.absolute()), *names]  # -P: not our own modules
    limit_s = PATIENCE_S + path.stat().st_size / BYTES_A_S
    try:
        done = subprocess.run(  # nosec B603  # our own script, no shell; names are arguments
            command, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as err:
        raise SampleError(f"{path} is damaged: its strings cannot be read; fetch it again") from err
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").splitlines() if done.returncode > 0 else []
        why = one_line(ValueError(told[-1])) if told else "the HDF5 library broke down"
        raise SampleError(f"{path} is truncated or damaged ({why}); fetch it again")
    with refusing_damage(path):
        columns = json.loads(done.stdout)
        return {name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)}
