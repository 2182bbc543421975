"""The simulated scheduler against what is known of it without simulating."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth.simulation import NONE, Faults, Fleet, Run, simulate

ONE_NODE = Fleet(nodes=1, gpus=4)


def run(units_s: list[float], fleet: Fleet = ONE_NODE, faults: Faults = NONE, seed: int = 0) -> Run:
    return simulate(units_s, fleet, faults, np.random.default_rng(seed))


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 101])
def test_equal_units_take_as_many_rounds_as_they_fill(n: int) -> None:
    found = run([2.0] * n)
    assert found.makespan_s == math.ceil(n / 4) * 2.0
    assert (found.done, found.failed, found.attempts) == (n, 0, n)


def test_actors_load_their_encoder_once_and_before_anything_else() -> None:
    assert run([2.0] * 8, Fleet(nodes=2, gpus=2, start_s=30.0)).makespan_s == 30 + 2 * 2


def test_nothing_to_do_takes_no_time() -> None:
    assert run([]).makespan_s == 0


@given(
    st.lists(st.floats(min_value=0.01, max_value=1e4), min_size=1, max_size=60),
    st.integers(1, 3),
    st.integers(1, 5),
)
def test_list_scheduling_keeps_to_its_bounds(units_s: list[float], nodes: int, gpus: int) -> None:
    k, total, longest = nodes * gpus, sum(units_s), max(units_s)
    found = run(units_s, Fleet(nodes=nodes, gpus=gpus))
    assert found.makespan_s >= max(total / k, longest) * (1 - 1e-9)
    assert found.makespan_s <= (total / k + (1 - 1 / k) * longest) * (1 + 1e-9)  # Graham, 1966
    assert found.useful_s == pytest.approx(total)
    assert found.wasted_s == 0


@given(st.integers(0, 10_000), st.floats(0, 0.5), st.floats(0, 3))
def test_every_unit_ends_once_and_its_work_is_accounted_for(seed: int, failing: float, deaths: float) -> None:
    units_s = np.random.default_rng(seed).lognormal(4, 0.5, 50).tolist()
    fleet = Fleet(nodes=3, gpus=2, start_s=5, deaths_per_hour=deaths, recovery_s=60)
    found = run(units_s, fleet, Faults(failing=failing, attempts=10**6), seed)
    assert (found.done, found.failed) == (50, 0)
    assert found.useful_s == pytest.approx(sum(units_s))
    assert found.useful_s + found.wasted_s <= fleet.actors * found.makespan_s * (1 + 1e-9)


def test_failures_add_the_attempts_and_the_time_that_they_should() -> None:
    p, most, n = 0.3, 3, 20_000
    found = run([10.0] * n, faults=Faults(failing=p, attempts=most))
    assert found.failed / n == pytest.approx(p**most, rel=0.1)
    assert found.attempts / n == pytest.approx(1 + p + p**2, rel=0.02)
    assert found.wasted_s / n == pytest.approx(5.0 * (p + p**2 + p**3), rel=0.03)  # broken off half-way
    assert found.useful_s == pytest.approx(10.0 * found.done)


def test_a_unit_beyond_the_deadline_costs_all_its_attempts_and_fails() -> None:
    found = run([100.0, 1.0], Fleet(nodes=1, gpus=1), Faults(attempts=3, deadline_s=10.0))
    assert (found.done, found.failed, found.makespan_s) == (1, 1, 31.0)
    assert (found.useful_s, found.wasted_s) == (1.0, 30.0)


def test_a_straggler_may_succeed_when_it_is_tried_again() -> None:
    slow = Faults(straggling=0.5, slowdown=10.0, attempts=50, deadline_s=5.0)
    found = run([1.0] * 1000, faults=slow)
    assert found.done == 1000
    assert found.attempts == pytest.approx(2000, rel=0.1)
    assert found.wasted_s == 5.0 * (found.attempts - 1000)


def test_a_nodes_death_loses_what_it_is_at_and_nothing_else() -> None:
    fleet = Fleet(nodes=1, gpus=1, start_s=10, deaths_per_hour=20.0, recovery_s=50)
    found = run([20.0] * 200, fleet)
    assert found.done == 200
    assert found.deaths > 10
    assert found.useful_s == pytest.approx(200 * 20.0)
    idle_s = found.makespan_s - found.useful_s - found.wasted_s
    assert idle_s <= (found.deaths + 1) * 10 + found.deaths * 50 + 1e-6
    assert idle_s >= found.deaths * 50  # one that dies while it starts has not started in full


def test_the_same_seed_gives_the_same_run() -> None:
    faults, fleet = Faults(failing=0.1), Fleet(nodes=2, gpus=2, deaths_per_hour=1.0, recovery_s=30)
    units_s = np.random.default_rng(1).lognormal(4, 0.5, 100).tolist()
    assert run(units_s, fleet, faults, 7) == run(units_s, fleet, faults, 7)
    assert run(units_s, fleet, faults, 7) != run(units_s, fleet, faults, 8)
