"""Attacks run in a child process whose memory and time are limited, so that one that succeeds harms nobody.

What is limited is memory of its own (RLIMIT_DATA): files that libvips maps to decode into do not count.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
import torch

from miso.models.attention import NetworkConfig
from miso.models.checkpoint import Checkpoint
from miso.models.miso import MisoConfig, MisoModel

BEGIN = """
import resource
from miso.errors import MisoError
{preamble}
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + {room}, used + {room}))
try:
    {call}
except MisoError as err:
    print("refused:", err)
else:
    print("done")
"""
Attack = Callable[..., str]


@pytest.fixture(scope="session")
def attack() -> Attack:
    """Run a call in a process with so many MiB to spare; what it says is one line: `refused: …` or `done`."""
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is limited and measured by Linux's means")

    def run(preamble: str, call: str, *, mib: int = 600, seconds: float = 40) -> str:
        code = BEGIN.format(preamble=dedent(preamble), call=call, room=mib * 2**20)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        lines = done.stdout.splitlines()
        assert len(lines) == 1, done.stdout[-2000:]
        return lines[0]

    return run


@pytest.fixture
def small_checkpoint_folder(tmp_path: Path) -> Path:
    """A sound Checkpoint of two genes on disk."""
    network = NetworkConfig(embed_dim=8, attention_dim=4, heads=2, depth=1)
    with torch.random.fork_rng(devices=[]):
        model = MisoModel(6, 2, MisoConfig(network=network, members=1, rank=2, programs=2, hidden=4))
    Checkpoint(
        model=model.eval(),
        kind="miso",
        genes=["KRT8", "CD3D"],
        target="log1p",
        units="ln(1 + counts)",
        nonnegative=True,
        encoder="stain@1",
        tile={"size_px": 224, "mpp": 0.5},
        patch_px=16,
        knn=5,
        spot_diameter_um=55.0,
        trained_on=["A1"],
        validated_on=["B1"],
        held_out=["C1"],
    ).save(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"
