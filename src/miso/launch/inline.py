"""Units one after another in this process: with progress, and with nothing between a fault and the user."""

from typing import Generic, TypeVar

from miso.launch.attempt import attempt
from miso.launch.units import Do, Ended, Unit, Work

T = TypeVar("T")


class InlineCrew(Generic[T]):
    """Nobody but this process. What is our own fault is raised, and ends the batch."""

    def __init__(self, work: Work[T]) -> None:
        self._work = work
        self._do: Do[T] | None = None
        self._given: Unit[T] | None = None

    @property
    def free(self) -> int:
        """One, or none."""
        return 0 if self._given else 1

    @property
    def busy(self) -> int:
        """One, or none."""
        return 1 - self.free

    def give(self, unit: Unit[T]) -> None:
        """Keep a unit until it is waited for."""
        self._given = unit

    def wait(self, seconds: float) -> list[Ended[T]]:
        """Do the unit."""
        unit, self._given = self._given, None
        if unit is None:
            return []
        self._do = self._do or self._work.open()  # an encoder that cannot be had ends the batch
        return [attempt(self._do, unit)]

    def spare(self) -> None:
        """Go on."""

    def close(self) -> None:
        """Leave nothing behind."""
