"""Those who do units: handed one when one of them is free, they say how each attempt ended."""

from typing import Protocol, TypeVar

from miso.launch.units import Ended, Unit

T = TypeVar("T")


class Crew(Protocol[T]):
    """Workers of one kind: this process, its children, or actors on a cluster."""

    @property
    def free(self) -> int:
        """How many units can be handed over now."""
        ...

    @property
    def busy(self) -> int:
        """How many units are being done."""
        ...

    def give(self, unit: Unit[T]) -> None:
        """Have a unit done; somebody has to be free."""
        ...

    def wait(self, seconds: float) -> list[Ended[T]]:
        """Return the attempts that are over, waiting so long for the first of them."""
        ...

    def spare(self) -> None:
        """Hear that no unit is left to give: who is idle may go."""
        ...

    def close(self) -> None:
        """End every process, whatever it is at."""
        ...
