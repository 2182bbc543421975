"""A map that several processes make, each a band of its rows: whose rows are whose, and who is at them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import MapError
from miso.storage.claim import Busy, claim

TURN_S, POLL_S = 30.0, 0.05
"""Others begin or end a map within a second; how long that is waited for, and how often it is looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One band of a map, from the top, of so many."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise MapError(
                f"band {self.index} of {self.count}: bands are counted from 0 to one less than there are"
            )

    @property
    def whole(self) -> bool:
        """Whether it is all of the map."""
        return self.count == 1

    def place(self, out: Path) -> Path:
        """Return what is claimed while the band is made; there is no such file."""
        return out.with_name(f"{out.name}.band-{self.index}-of-{self.count}")

    @property
    def words(self) -> str:
        """Its name, as it is asked for."""
        return f"band {self.index} of {self.count}"


WHOLE = Share()


def divide(windows: Float[NDArray[np.float64], " chunk"], height: int, n_rows: int, count: int) -> list[int]:
    """Cut the rows of a map into `count` bands of whole rows of chunks, of about as many windows each.

    Parameters
    ----------
    windows
        How many windows have their middle in each row of chunks.
    height, n_rows
        Rows of a chunk, and of the map.

    Returns
    -------
    `count` + 1 edges: band i spans rows [edges[i], edges[i + 1]), which may be none.
    """
    before = np.concatenate([[0.0], np.cumsum(windows)])
    wanted = before[-1] * np.arange(1, count) / count
    inner = [int(np.abs(before - share).argmin()) * height for share in wanted]
    return [0, *(min(edge, n_rows) for edge in inner), n_rows]


@contextmanager
def turn(out: Path) -> Iterator[None]:
    """Hold the right to begin or end the map at `out`; who has it now is waited for a little.

    Raises
    ------
    Busy
        If it is kept for longer: somebody makes the map in one go.
    """
    until = time.monotonic() + TURN_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(claim(out))
                break
            except Busy:
                if time.monotonic() > until:
                    raise
                time.sleep(POLL_S)
        yield


def check_idle(out: Path, count: int) -> None:
    """Make sure that nobody is at any of the bands; nobody can begin one while the caller has the `turn`.

    Raises
    ------
    Busy
        If somebody is.
    """
    for index in range(count if count > 1 else 0):
        with claim(Share(index=index, count=count).place(out)):
            pass
