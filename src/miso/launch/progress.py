"""Progress on long work: any iterable, its length, and what is being done."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Passes an iterable through while showing how far it is."""

    def __call__(self, iterable: Iterable[T], total: int, description: str, /) -> Iterable[T]:
        """Yield the same items."""
        ...


def silent(iterable: Iterable[T], total: int, description: str) -> Iterable[T]:
    """Show nothing."""
    return iterable
