"""Memory that can be had is what the system tells, or less where a container may not use it."""

from pathlib import Path

import pytest

from miso.launch import memory
from miso.launch.memory import available_bytes


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what the system says."""
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "LIMIT", tmp_path / "memory.max")
    return tmp_path


def test_what_the_system_calls_available_is(told: Path) -> None:
    (told / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:   300 kB\n")
    assert available_bytes() == 300 * 1024


@pytest.mark.parametrize(
    ("limit", "expected"), [("1000", 1000), ("999999999", 300 * 1024), ("max", 300 * 1024)]
)
def test_a_container_gets_no_more_than_its_limit(told: Path, limit: str, expected: int) -> None:
    (told / "meminfo").write_text("MemAvailable: 300 kB\n")
    (told / "memory.max").write_text(limit + "\n")
    assert available_bytes() == expected


def test_half_of_all_memory_is_taken_where_nobody_says_what_is_available(told: Path) -> None:
    (told / "meminfo").write_text("nothing of use\n")
    assert 2**28 < available_bytes() < 2**50
