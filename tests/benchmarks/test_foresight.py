"""The formula of the makespan against known integrals and against the simulation."""

import numpy as np
import pytest

from growth.foresight import Slides, attempts_of, foresee, longest_residual
from growth.simulation import NONE, Faults, Fleet, simulate

FLEET = Fleet(nodes=4, gpus=4, start_s=20)


def simulated(slides: Slides, fleet: Fleet, faults: Faults, seeds: int = 30) -> float:
    made = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        made.append(simulate(slides.drawn(rng), fleet, faults, rng).makespan_s)
    return float(np.mean(made))


def test_quantiles_have_the_mean_of_the_log_normal() -> None:
    slides = Slides(fixed_s=10, median_s=100, sigma=0.6)
    assert slides.quantiles(4000).mean() == pytest.approx(10 + 100 * np.exp(0.18), rel=1e-3)


def test_of_equal_attempts_the_residual_is_uniform() -> None:
    """The longest of k uniform numbers is k / (k + 1)."""
    for k in (1, 4, 64):
        longest = longest_residual(np.full(10, 30.0), np.ones(10), k)
        assert longest == pytest.approx(30 * k / (k + 1), rel=1e-3)


def test_expected_attempts_are_those_of_a_geometric_series() -> None:
    p, most = 0.2, 3
    times, weights, failed = attempts_of(np.full(5, 10.0), Faults(failing=p, attempts=most))
    assert failed == pytest.approx(p**most)
    assert weights.sum() / 5 == pytest.approx(1 + p + p**2)
    assert times @ weights / 5 == pytest.approx((1 + p + p**2) * (10 * (1 - p) + 5 * p))


def test_what_is_always_beyond_the_deadline_fails_after_all_its_attempts() -> None:
    times, weights, failed = attempts_of(np.full(2, 50.0), Faults(attempts=4, deadline_s=8.0))
    assert failed == 1
    assert times @ weights / 2 == pytest.approx(4 * 8.0)


@pytest.mark.parametrize(
    ("fleet", "faults", "within"),
    [
        (FLEET, NONE, 0.005),
        (FLEET, Faults(failing=0.05), 0.01),
        (FLEET, Faults(straggling=0.02, slowdown=4.0), 0.02),
        (Fleet(nodes=4, gpus=4, start_s=20, deaths_per_hour=0.2, recovery_s=600), NONE, 0.015),
    ],
)
def test_the_formula_agrees_with_the_simulation(fleet: Fleet, faults: Faults, within: float) -> None:
    slides = Slides(n=2000, fixed_s=10, median_s=60, sigma=0.6)
    assert foresee(slides, fleet, faults).makespan_s == pytest.approx(
        simulated(slides, fleet, faults), rel=within
    )


def test_nodes_that_die_are_away_as_long_as_they_should_be() -> None:
    slides = Slides(n=2000, fixed_s=60, median_s=1e-9, sigma=0.0)
    fleet = Fleet(nodes=4, gpus=4, start_s=30, deaths_per_hour=1.0, recovery_s=570)
    lost = 60 / 2  # an attempt is half done when its node dies
    assert foresee(slides, fleet, NONE).available == pytest.approx(
        (3600 - 30 - lost) / (3600 + 570), rel=1e-3
    )
