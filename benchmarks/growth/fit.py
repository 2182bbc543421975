"""How fast cost grows: exponents of power laws, and whether they are what was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from growth.rows import Row

UPPER = 3
"""Sizes, the largest ones, that exponents are fitted to: small ones mostly measure what does not grow."""
MOST_TIME, MOST_MEMORY = 1.1, 0.1
"""Exponents asked for: time at most about linear, memory flat (four times the size, 15 % more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Exponents of one kind of work.

    Attributes
    ----------
    sizes
        Those that the exponents are fitted to.
    wall, cpu, memory, size
        Of wall time, CPU time, peak memory and bytes written; None where they were not measured.
    last
        Of wall time from the last size but one to the last.
    memory_ratio
        Peak memory of the largest size over that of the second largest.
    """

    what: str
    sizes: tuple[float, ...]
    wall: float
    cpu: float
    last: float
    memory: float | None
    memory_ratio: float | None
    size: float | None = None


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Fit cost = a · size^e by least squares of the logarithms; return e."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def growth_of(rows: Sequence[Row], what: str) -> Growth | None:
    """Fit one kind of work; None with fewer than two sizes."""
    rows = sorted((row for row in rows if row["what"] == what), key=lambda row: float(row["n"]))[-UPPER:]
    if len(rows) < 2:
        return None
    sizes = tuple(float(row["n"]) for row in rows)

    def of(column: str) -> float | None:
        return exponent(sizes, _column(rows, column)) if all(column in row for row in rows) else None

    wall, peak = _column(rows, "wall_s"), _column(rows, "peak_mib")
    return Growth(
        what=what,
        sizes=sizes,
        wall=exponent(sizes, wall),
        cpu=of("cpu_s") or float("nan"),
        last=log(wall[-1] / wall[-2]) / log(sizes[-1] / sizes[-2]),
        memory=of("peak_mib"),
        memory_ratio=peak[-1] / peak[-2] if peak else None,
        size=of("written_kb"),
    )


def verdict(growth: Growth, *, flat_memory: bool) -> str:
    """Say whether time is linear, and memory flat where that was asked for."""
    failing = []
    if growth.wall > MOST_TIME:
        failing.append(f"time {growth.wall:.2f} > {MOST_TIME}")
    if flat_memory and growth.memory is not None and growth.memory > MOST_MEMORY:
        failing.append(f"memory {growth.memory:.2f} > {MOST_MEMORY}")
    if growth.size is not None and growth.size > MOST_TIME:
        failing.append(f"bytes {growth.size:.2f} > {MOST_TIME}")
    if failing:
        return "FAILS: " + ", ".join(failing)
    return "passes" if growth.last <= MOST_TIME else f"passes, but the last step {growth.last:.2f}"


def _column(rows: Sequence[Row], name: str) -> list[float]:
    return [float(row[name]) for row in rows if name in row]
