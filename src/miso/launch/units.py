"""Units of work (a sample, a fold, a slide), what does them, and what became of each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

T = TypeVar("T")
Task = TypeVar("Task", contravariant=True)
State = Literal["done", "skipped", "failed"]
End = Literal["done", "skipped", "failed", "fault", "busy", "died", "late"]
"""How an attempt at a unit ended: "fault" is our own, "busy" is another's, who is making the same thing;
"died" and "late" are of the process that was at it."""

Do = Callable[[Task], tuple[State, str]]
"""Does a unit: returns "done" or "skipped", and a line about it. A `MisoError` fails this unit only."""


class Work(Protocol[Task]):
    """What does units of one kind: a frozen value that travels to other processes."""

    def open(self) -> Do[Task]:
        """Load what stays between units (an encoder, models) and return what does a unit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit(Generic[T]):
    """A piece of work: its name, and what it is, as plain values that travel to other processes."""

    name: str
    task: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Generic[T]):
    """An attempt at a unit that is over; `where` is the host and the process."""

    unit: Unit[T]
    end: End
    message: str
    seconds: float
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one unit: its state, a line that says it, and the seconds that its last attempt took.

    `fault` holds the traceback where a failure was our own.
    """

    unit: str
    state: State
    message: str
    seconds: float
    attempts: int = 1
    where: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The outcomes of a batch."""

    outcomes: list[Outcome] = field(default_factory=list)

    def having(self, state: State) -> list[Outcome]:
        """Outcomes in a state."""
        return [outcome for outcome in self.outcomes if outcome.state == state]

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, 3 when a part did; when all did 2, or 1 if one of them by our own fault."""
        failed = self.having("failed")
        if len(failed) < len(self.outcomes) or not failed:
            return 3 if failed else 0
        return 1 if any(outcome.fault for outcome in failed) else 2
