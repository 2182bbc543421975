"""Actors on nodes that work through a list of units, simulated event by event; times are in seconds.

An actor takes the next unit when it is free, a unit that fails goes to the end of the list, one whose node
dies to its head, and nothing is done twice at the same time.
"""

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The machines.

    Attributes
    ----------
    nodes, gpus
        Nodes, and actors on each: one a GPU.
    start_s
        From the start of an actor to its first unit: the encoder is read and loaded.
    deaths_per_hour
        Of one node while it is up; 0 for nodes that never die.
    recovery_s
        From a node's death until its actors are started again.
    """

    nodes: int = 8
    gpus: int = 8
    start_s: float = 0.0
    deaths_per_hour: float = 0.0
    recovery_s: float = 0.0

    @property
    def actors(self) -> int:
        """How many units are worked on at a time."""
        return self.nodes * self.gpus


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What happens to attempts at a unit.

    Attributes
    ----------
    failing
        Chance that an attempt fails, at a moment that is uniform over its length.
    straggling, slowdown
        Chance that an attempt is slow, and how many times as long it then takes.
    attempts
        Most attempts at a unit; deaths of nodes do not count.
    deadline_s
        After which an attempt is ended, and has failed.
    """

    failing: float = 0.0
    straggling: float = 0.0
    slowdown: float = 1.0
    attempts: int = 3
    deadline_s: float = math.inf


NONE = Faults()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of a simulation; `useful_s` and `wasted_s` are the actors' seconds on units, added up."""

    makespan_s: float
    done: int
    failed: int
    attempts: int
    deaths: int
    useful_s: float
    wasted_s: float


def simulate(units_s: Sequence[float], fleet: Fleet, faults: Faults, rng: np.random.Generator) -> Run:
    """Work through the units in the order given, until each is done or has failed for good."""
    world = _World(units_s=units_s, fleet=fleet, faults=faults, rng=rng)
    return world.run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """A unit in an actor's hands."""

    unit: int
    begun_s: float
    succeeds: bool


@dataclass(slots=True, kw_only=True)
class _World:
    units_s: Sequence[float]
    fleet: Fleet
    faults: Faults
    rng: np.random.Generator
    now_s: float = 0.0
    deaths: int = 0
    attempts: int = 0
    done: int = 0
    failed: int = 0
    useful_s: float = 0.0
    wasted_s: float = 0.0
    queue: deque[int] = field(default_factory=deque)
    tries: list[int] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)
    held: dict[int, _Attempt] = field(default_factory=dict)
    lives: list[int] = field(default_factory=list)
    events: list[tuple[float, int, str, int, int]] = field(default_factory=list)
    pushed: int = 0

    def run(self) -> Run:
        """Take events in the order of their times until no unit is left."""
        self.queue.extend(range(len(self.units_s)))
        self.tries = [0] * len(self.units_s)
        self.lives = [0] * self.fleet.nodes
        for node in range(self.fleet.nodes):
            self._bring_up(node, 0.0)
        while self.done + self.failed < len(self.units_s):
            self.now_s, _, what, who, life = heapq.heappop(self.events)
            if what == "death":
                self._die(who)
            elif life == self.lives[who // self.fleet.gpus]:  # else the node died since this was foreseen
                if what == "end":
                    self._end(who)
                self.idle.append(who)
            self._hand_out()
        return Run(
            makespan_s=self.now_s if self.units_s else 0.0,
            done=self.done,
            failed=self.failed,
            attempts=self.attempts,
            deaths=self.deaths,
            useful_s=self.useful_s,
            wasted_s=self.wasted_s,
        )

    def _push(self, at_s: float, what: str, who: int, life: int) -> None:
        self.pushed += 1  # events of one time come in the order in which they were foreseen
        heapq.heappush(self.events, (at_s, self.pushed, what, who, life))

    def _bring_up(self, node: int, at_s: float) -> None:
        """Start a node's actors, and draw when it will die."""
        for gpu in range(self.fleet.gpus):
            self._push(at_s + self.fleet.start_s, "ready", node * self.fleet.gpus + gpu, self.lives[node])
        if self.fleet.deaths_per_hour:
            up_s = self.rng.exponential(3600 / self.fleet.deaths_per_hour)
            self._push(at_s + up_s, "death", node, self.lives[node])

    def _die(self, node: int) -> None:
        """Lose what a node's actors are at, put it at the head of the queue, and begin to recover."""
        self.deaths += 1
        self.lives[node] += 1
        own = range(node * self.fleet.gpus, (node + 1) * self.fleet.gpus)
        self.idle = [actor for actor in self.idle if actor not in own]
        for actor in own:
            if (lost := self.held.pop(actor, None)) is not None:
                self.wasted_s += self.now_s - lost.begun_s
                self.queue.appendleft(lost.unit)
        self._bring_up(node, self.now_s + self.fleet.recovery_s)

    def _hand_out(self) -> None:
        while self.idle and self.queue:
            self._begin(self.idle.pop(0), self.queue.popleft())

    def _begin(self, actor: int, unit: int) -> None:
        """Foresee how an attempt ends."""
        faults, length_s = self.faults, self.units_s[unit]
        if faults.straggling and self.rng.random() < faults.straggling:
            length_s *= faults.slowdown
        succeeds = length_s <= faults.deadline_s
        if faults.failing and self.rng.random() < faults.failing:
            length_s, succeeds = length_s * self.rng.random(), False
        self.attempts += 1
        self.held[actor] = _Attempt(unit=unit, begun_s=self.now_s, succeeds=succeeds)
        life = self.lives[actor // self.fleet.gpus]
        self._push(self.now_s + min(length_s, faults.deadline_s), "end", actor, life)

    def _end(self, actor: int) -> None:
        attempt = self.held.pop(actor)
        took_s = self.now_s - attempt.begun_s
        if attempt.succeeds:
            self.useful_s, self.done = self.useful_s + took_s, self.done + 1
            return
        self.wasted_s += took_s
        self.tries[attempt.unit] += 1
        if self.tries[attempt.unit] >= self.faults.attempts:
            self.failed += 1
        else:
            self.queue.append(attempt.unit)
