"""Items come in order from a thread; what goes wrong there comes here, and nobody waits for the abandoned."""

import threading
import time
from collections.abc import Iterator

import pytest

from miso.launch.ahead import map_ahead, read_ahead


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


def test_what_several_threads_make_comes_in_the_order_of_the_items() -> None:
    def slow(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(map_ahead(slow, range(40), workers=4)) == [n * n for n in range(40)]
    assert list(map_ahead(slow, [], workers=4)) == []


def test_as_many_are_made_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(3, timeout=5)  # breaks unless three threads meet in it

    def meet(item: int) -> int:
        together.wait()
        return item

    assert list(map_ahead(meet, range(6), workers=3)) == list(range(6))


def test_no_more_results_wait_than_the_depth() -> None:
    made: list[int] = []
    ahead = map_ahead(made.append, range(100), workers=2, depth=4)
    next(ahead)
    time.sleep(0.05)
    assert sorted(made) == [0, 1, 2, 3, 4]
    ahead.close()


def test_an_error_in_one_of_the_threads_comes_in_its_place() -> None:
    ahead = map_ahead(lambda item: 1 / (item - 2), range(9), workers=3)
    assert [next(ahead), next(ahead)] == [-0.5, -1]
    with pytest.raises(ZeroDivisionError):
        next(ahead)
