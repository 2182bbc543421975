"""Finding those who do the units of a batch, as its launch says: this process, its children, or a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from miso.launch.crew import Crew
from miso.launch.inline import InlineCrew
from miso.launch.launch import Launch
from miso.launch.local import LocalCrew
from miso.launch.units import Work

T = TypeVar("T")


@contextmanager
def hire(work: Work[T], launch: Launch, units: int) -> Iterator[Crew[T]]:
    """Find those who do the work; they are let go at the end, whatever they are at."""
    crew: Crew[T]
    if launch.engine == "ray":
        from miso.launch.cluster import RayCrew  # an extra

        crew = RayCrew(work, launch, units)
    elif launch.workers is not None:
        crew = LocalCrew(work, min(launch.workers, units), launch.cpus, launch.deadline_s)
    else:
        crew = InlineCrew(work)
    try:
        yield crew
    finally:
        crew.close()
