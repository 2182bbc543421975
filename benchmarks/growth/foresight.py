"""How long a fleet takes for many slides, by formula; times are in seconds, sizes are log-normal.

    makespan = start + W / (k · a) − E[r] + E[max of k r]

W is the expected work of all units with their repeated attempts, k the actors, a the share of time in which
an actor is neither dead, starting nor at work that is lost, and r what is left of an attempt when the list
runs empty: the residual life of renewal theory, whose density is P(attempt > x) / E[attempt].
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from growth.simulation import Faults, Fleet

SIZES, MOMENTS, STEPS = 4000, 8, 4000
"""Slide sizes, moments of failure and steps of the integral that stand for the whole distribution."""
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slides:
    """Slides of log-normal area: a unit takes `fixed_s`, and a time that grows with its area.

    Attributes
    ----------
    median_s
        What the median slide takes beside `fixed_s`.
    sigma
        Standard deviation of the logarithm of the area.
    """

    n: int = 10_000
    fixed_s: float = 0.0
    median_s: float = 60.0
    sigma: float = 0.6

    def drawn(self, rng: np.random.Generator) -> list[float]:
        """Draw the times of all units."""
        times: list[float] = (self.fixed_s + self.median_s * rng.lognormal(0, self.sigma, self.n)).tolist()
        return times

    def quantiles(self, n: int) -> Values:
        """Return the times at the middles of n equally likely parts."""
        normal = NormalDist()
        z = np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)])
        return self.fixed_s + self.median_s * np.exp(self.sigma * z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What is expected: the time of all, work with repeated attempts, the share of time actors are there."""

    makespan_s: float
    work_s: float
    available: float
    tail_s: float
    failed: float


def foresee(slides: Slides, fleet: Fleet, faults: Faults) -> Foreseen:
    """Expect the makespan, and what it consists of."""
    times, weights, failed = attempts_of(slides.quantiles(SIZES), faults)
    each_s = float(times @ weights) / SIZES  # expected seconds of a unit, all its attempts together
    residual_s = float(times**2 @ weights) / (2 * float(times @ weights))
    up_s = 3600 / fleet.deaths_per_hour if fleet.deaths_per_hour else np.inf
    cycle_s = up_s + fleet.recovery_s
    available = 1.0 if np.isinf(up_s) else max(up_s - fleet.start_s - residual_s, 0.0) / cycle_s
    tail_s = longest_residual(times, weights, fleet.actors) - residual_s
    work_s = each_s * slides.n
    return Foreseen(
        makespan_s=fleet.start_s + work_s / (fleet.actors * available) + tail_s,
        work_s=work_s,
        available=available,
        tail_s=tail_s,
        failed=failed * slides.n,
    )


def attempts_of(sizes_s: Values, faults: Faults) -> tuple[Values, Values, float]:
    """Return lengths of attempts, how many of each are expected of all sizes together, and the share failed.

    An attempt is slow or not, and whole or broken off at one of a few moments that stand for all.
    """
    moments = (np.arange(MOMENTS) + 0.5) / MOMENTS
    speeds = [(1 - faults.straggling, 1.0), (faults.straggling, faults.slowdown)]
    lengths, chances, succeeding = [], [], np.zeros(len(sizes_s))
    for share, slow in speeds:
        whole = sizes_s * slow
        succeeding += share * (1 - faults.failing) * (whole <= faults.deadline_s)
        lengths += [whole, *(whole * moment for moment in moments)]
        chances += [share * (1 - faults.failing), *[share * faults.failing / MOMENTS] * MOMENTS]
    failing = 1 - succeeding
    certain = failing >= 1
    tried = np.where(
        certain, faults.attempts, (1 - failing**faults.attempts) / np.where(certain, 1, 1 - failing)
    )
    times = np.minimum(np.concatenate(lengths), faults.deadline_s)
    weights = np.concatenate([chance * tried for chance in chances])
    return times, weights, float((failing**faults.attempts).mean())


def longest_residual(times: Values, weights: Values, actors: int) -> float:
    """Expect the longest of what is left of as many attempts as there are actors."""
    order = np.argsort(times)
    times, weights = times[order], weights[order]
    total = float(times @ weights)
    below = np.concatenate([[0.0], np.cumsum(times * weights)])  # seconds in attempts shorter than each
    above = weights.sum() - np.concatenate([[0.0], np.cumsum(weights)])
    x = np.linspace(0, times[-1], STEPS)
    place = np.searchsorted(times, x, side="right")
    share = (below[place] + x * above[place]) / total  # E[min(attempt, x)] / E[attempt]
    return float(np.trapezoid(1 - np.minimum(share, 1) ** actors, x))
