"""Items come in order from a thread; what goes wrong there comes here, and nobody waits for the abandoned."""

import threading
from collections.abc import Iterator

import pytest

from miso.launch.ahead import read_ahead


def test_items_come_in_order() -> None:
    assert list(read_ahead(iter(range(100)), depth=3)) == list(range(100))
    assert list(read_ahead([], depth=3)) == []


def test_what_the_iterable_raises_is_raised_in_its_place() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    ahead = read_ahead(broken())
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_no_more_than_the_depth_is_made_ahead() -> None:
    made = []
    gate = threading.Semaphore(0)

    def counted() -> Iterator[int]:
        for index in range(100):
            made.append(index)
            gate.release()
            yield index

    ahead = read_ahead(counted(), depth=3)
    next(ahead)
    for _ in range(4):
        assert gate.acquire(timeout=5)
    assert not gate.acquire(timeout=0.05)
    assert len(made) == 4
    ahead.close()


def test_an_abandoned_reader_stops_its_thread() -> None:
    ahead = read_ahead(iter(range(10**9)), depth=3)
    next(ahead)
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
