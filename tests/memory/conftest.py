"""Child processes that work with or without a limit, and say the most memory that they held."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Measured = dict[str, float]

BEGIN = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from miso.encoders import Encoder, InputContract, load_encoder
from miso.geometry import TileSpec
from miso.launch.memory import limit_memory, resident_bytes
from miso.maps.super_resolve import super_resolve
from miso.samples import extract
from miso.slides import open_slide

torch.set_num_threads(1)
place, room = Path(sys.argv[1]), int(sys.argv[2])
about = dict(contract=InputContract(), revision="1", licence="none")

def begin():
    '''Whatever is loaded is loaded: what comes now is held to the limit.'''
    global limit
    limit = resident_bytes() + room * 2**20
    if len(sys.argv) > 3:
        limit_memory(limit)

def end():
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    print(json.dumps({"peak": peak, "limit": limit / 2**20}))
"""


@pytest.fixture
def measure(tmp_path: Path) -> Callable[..., Measured]:
    """Run code between `begin()` and `end()`; return the limit and the peak, in MiB."""
    if not Path("/proc/self/status").is_file():
        pytest.skip("peak memory is read from /proc")

    def run(code: str, room_mib: int, *, limited: bool, place: Path = tmp_path) -> Measured:
        command = [sys.executable, "-c", BEGIN + code, str(place), str(room_mib)]
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, *(["limited"] * limited)], capture_output=True, text=True, env=alone, timeout=120
        )
        assert done.returncode == 0, done.stderr
        found: Any = json.loads(done.stdout.splitlines()[-1])
        return dict(found)

    return run
