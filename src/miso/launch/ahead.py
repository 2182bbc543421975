"""Reading ahead: the next items are made in threads while the present one is being used."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")
END: Final = object()


def read_ahead(items: Iterable[T], depth: int = 2) -> Generator[T]:
    """Yield `items` in order, with up to `depth` of them made ahead by one background thread.

    What the iterable raises is raised here, in its place. Closing or dropping the generator cancels what has
    not begun and waits for the one item in the making.
    """
    iterator = iter(items)

    def make(_: int) -> T | object:
        return next(iterator, END)

    for item in map_ahead(make, count(), workers=1, depth=depth):
        if item is END:
            return
        yield item  # type: ignore[misc]  # END is the only object that is no T


def map_ahead(
    make: Callable[[T], R], items: Iterable[T], *, workers: int, depth: int | None = None
) -> Generator[R]:
    """Yield `make(item)` for each item in order, made ahead by `workers` threads.

    No more than `depth` results (by default one a worker, and one) wait or are in the making, so that memory
    is bounded. What `make` raises is raised here, in its place. Closing or dropping the generator cancels
    what has not begun and waits for what has.
    """
    todo = iter(items)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="read-ahead") as pool:
        pending = deque(pool.submit(make, item) for item in islice(todo, max(depth or workers + 1, 1)))
        try:
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(make, item) for item in islice(todo, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()
