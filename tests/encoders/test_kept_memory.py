"""Arrays that a process uses again and again cost it no new pages."""

import subprocess
import sys

import pytest

from miso.encoders.kept_memory import keep_freed_memory

SCRIPT = """
import resource
import torch
from miso.encoders.kept_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        [torch.ones(12_000_000) for _ in range(2)]  # beyond 32 MB glibc always hands it back
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
given_back = faults()
assert keep_freed_memory() and keep_freed_memory()
faults()
print(given_back, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is asked")
def test_what_is_freed_is_used_again_without_a_page_fault():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    given_back, kept = map(int, done.stdout.split())
    assert given_back > 1000
    assert kept < 100


def test_elsewhere_it_changes_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("asked"))
    assert keep_freed_memory.__wrapped__() is False
