"""Exponents and verdicts against costs whose growth is known."""

import numpy as np
import pytest

from growth.fit import exponent, growth_of, verdict
from growth.rows import Row

SIZES = (1_000, 4_000, 16_000, 64_000)


def rows(power: float, memory: float, start: float = 0.0) -> list[Row]:
    return [
        {
            "what": "work",
            "n": n,
            "wall_s": start + 1e-3 * n**power,
            "cpu_s": 1e-3 * n**power,
            "peak_mib": 500.0 * (n / 1000) ** memory,
        }
        for n in SIZES
    ]


def test_the_exponent_of_a_power_law_is_its_power() -> None:
    assert exponent(SIZES, [3 * n**1.7 for n in SIZES]) == pytest.approx(1.7)


def test_only_the_largest_sizes_are_fitted() -> None:
    costs = rows(1.0, 0.0)
    costs[0]["wall_s"] = 100.0  # the first one pays for something else
    found = growth_of(costs, "work")
    assert found is not None
    assert found.sizes == SIZES[-3:]
    assert found.wall == pytest.approx(1.0)
    assert found.last == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("power", "memory", "flat", "said"),
    [
        (1.0, 0.0, True, "passes"),
        (1.3, 0.0, True, "FAILS: time 1.30 > 1.1"),
        (1.0, 0.5, True, "FAILS: memory 0.50 > 0.1"),
        (1.0, 0.5, False, "passes"),
        (2.0, 1.0, True, "FAILS: time 2.00 > 1.1, memory 1.00 > 0.1"),
    ],
)
def test_a_verdict_says_what_fails(power: float, memory: float, flat: bool, said: str) -> None:
    found = growth_of(rows(power, memory), "work")
    assert found is not None
    assert verdict(found, flat_memory=flat) == said


def test_a_start_that_hides_growth_shows_in_the_last_step() -> None:
    found = growth_of(rows(1.25, 0.0, start=50.0), "work")
    assert found is not None
    assert found.wall < 1.1 < found.last < 1.25
    assert verdict(found, flat_memory=True).startswith("passes, but the last step 1.")


def test_memory_is_set_against_the_second_largest() -> None:
    found = growth_of(rows(1.0, 0.5), "work")
    assert found is not None
    assert found.memory_ratio == pytest.approx(2.0)
    assert found.memory == pytest.approx(0.5)


def test_a_single_size_has_no_growth() -> None:
    assert growth_of(rows(1.0, 0.0)[:1], "work") is None
    assert growth_of([], "work") is None


def test_bytes_written_have_an_exponent_too() -> None:
    costs = [row | {"written_kb": float(n) ** 1.5} for row, n in zip(rows(1.0, 0.0), SIZES, strict=True)]
    found = growth_of(costs, "work")
    assert found is not None
    assert found.size == pytest.approx(1.5)
    assert verdict(found, flat_memory=True) == "FAILS: bytes 1.50 > 1.1"
    assert np.isfinite(found.cpu)
