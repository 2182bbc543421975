"""Running the units of a batch one after another, so that one bad unit does not end the rest."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from miso.errors import MisoError

State = Literal["done", "skipped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one unit: its state, a line that says it, and the seconds it took."""

    unit: str
    state: State
    message: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The outcomes of a batch."""

    outcomes: list[Outcome] = field(default_factory=list)

    def having(self, state: State) -> list[Outcome]:
        """Outcomes in a state."""
        return [outcome for outcome in self.outcomes if outcome.state == state]

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, 2 when everything did, 3 when a part did."""
        failed = len(self.having("failed"))
        return 0 if not failed else 2 if failed == len(self.outcomes) else 3


def map_units(
    units: Iterable[str],
    work: Callable[[str], tuple[State, str]],
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> RunReport:
    """Do `work` for each unit in this process.

    Parameters
    ----------
    units
        Names of the units.
    work
        Returns what was done ("done" or "skipped") and a line about it. A `MisoError` fails that unit only;
        anything else is our own fault and ends the batch.
    tell
        Called with each outcome as it comes.
    """
    report = RunReport()
    for unit in units:
        start = time.monotonic()
        try:
            state, message = work(unit)
        except MisoError as err:
            state, message = "failed", str(err)
        outcome = Outcome(unit=unit, state=state, message=message, seconds=time.monotonic() - start)
        report.outcomes.append(outcome)
        tell(outcome)
    return report
