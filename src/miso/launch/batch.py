"""A batch: every unit done, or failed for a reason, whatever becomes of those who do it."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from miso.launch.crew import Crew
from miso.launch.hire import hire
from miso.launch.launch import Launch
from miso.launch.units import Ended, Outcome, RunReport, Unit, Work

T = TypeVar("T")
Tell = Callable[[Outcome], None]
POLL_S: Final = 1.0
"""How long a crew is waited for before deadlines are looked at again."""
BUSY_S: Final = 2.0
"""How long a unit rests that another process is making."""


def map_units(
    units: Sequence[Unit[T]],
    work: Work[T],
    launch: Launch = Launch(),  # noqa: B008  frozen
    tell: Tell = lambda outcome: None,
) -> RunReport:
    """Do every unit, here or elsewhere.

    Parameters
    ----------
    units
        Of different names. Each has a result that is whole or absent, and that is skipped when it is there.
    tell
        Called with each outcome as it comes.

    Notes
    -----
    A unit that raises a `MisoError` fails alone. One whose process dies is begun again, `launch.retries`
    times; one that is late is not. One that another process is making is done last, when it is found there.
    In this process (no `launch.workers`) what is our own fault is raised; elsewhere it fails its unit, with
    its traceback.
    """
    if not units:
        return RunReport()
    batch = Batch(units, launch.retries, tell)
    with hire(work, launch, len(units)) as crew:
        batch.run(crew)
    return RunReport(outcomes=batch.outcomes)


class Batch(Generic[T]):
    """Which units wait, how often each was begun, and what became of those that are over."""

    def __init__(self, units: Sequence[Unit[T]], retries: int, tell: Tell) -> None:
        self.outcomes: list[Outcome] = []
        self._waiting = deque(units)
        self._resting: deque[tuple[float, Unit[T]]] = deque()
        self._begun: Counter[str] = Counter()
        self._retries, self._tell = retries, tell

    def run(self, crew: Crew[T]) -> None:
        """Give units to a crew until all are over."""
        while self._waiting or self._resting or crew.busy:
            self._wake()
            while self._waiting and crew.free:
                unit = self._waiting.popleft()
                self._begun[unit.name] += 1
                crew.give(unit)
            if not (self._waiting or self._resting):
                crew.spare()
            if self._resting and not crew.busy:
                time.sleep(min(POLL_S, BUSY_S))
            for ended in crew.wait(POLL_S):
                self._take(ended)

    def _take(self, ended: Ended[T]) -> None:
        unit, end = ended.unit, ended.end
        if end == "busy":
            self._begun[unit.name] -= 1
            self._resting.append((time.monotonic() + BUSY_S, unit))
        elif end == "died" and self._begun[unit.name] <= self._retries:
            self._waiting.append(unit)
        else:
            self._close(ended)

    def _wake(self) -> None:
        while self._resting and self._resting[0][0] <= time.monotonic():
            self._waiting.append(self._resting.popleft()[1])

    def _close(self, ended: Ended[T]) -> None:
        begun, message, fault = self._begun[ended.unit.name], ended.message, ""
        if ended.end == "fault":
            last = message.strip().splitlines()[-1]
            message, fault = f"our own fault: {last}", message
        elif ended.end == "died":
            message = f"{message}; begun {begun} times"
        outcome = Outcome(
            unit=ended.unit.name,
            state=ended.end if ended.end in ("done", "skipped") else "failed",
            message=message,
            seconds=ended.seconds,
            attempts=begun,
            where=ended.where,
            fault=fault,
        )
        self.outcomes.append(outcome)
        self._tell(outcome)
