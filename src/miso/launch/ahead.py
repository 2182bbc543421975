"""Reading ahead: the next items are made in a thread while the present one is being used."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
END: Final = object()


def read_ahead(items: Iterable[T], depth: int = 2) -> Generator[T]:
    """Yield `items` in order, with up to `depth` of them made ahead by one background thread.

    What the iterable raises is raised here, in its place. Closing or dropping the generator cancels what has
    not begun and waits for the one item in the making.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as pool:
        pending = deque(pool.submit(next, iterator, END) for _ in range(max(depth, 1)))
        try:
            while (item := pending.popleft().result()) is not END:
                pending.append(pool.submit(next, iterator, END))
                yield item  # type: ignore[misc]  # END is the only object that is no T
        finally:
            for future in pending:
                future.cancel()
