"""A cache holds what fits, lets go of what was not used longest, and makes each value once."""

import threading
import time

import pytest

from miso.view.bounded import BoundedCache


def test_what_was_used_last_stays_within_the_bytes() -> None:
    cache, made = BoundedCache[bytes](10, len), list[str]()

    def make(key: str) -> bytes:
        made.append(key)
        return key.encode() * 4

    for key in "abac":
        assert cache.get(key, lambda key=key: make(key)) == key.encode() * 4
    assert cache.bytes == 8
    assert made == ["a", "b", "c"]  # b was let go of for c
    cache.get("a", lambda: make("a"))
    cache.get("b", lambda: make("b"))
    assert made == ["a", "b", "c", "b"]


def test_what_is_larger_than_the_cache_is_made_and_not_kept() -> None:
    cache = BoundedCache[bytes](3, len)
    assert cache.get("x", lambda: b"four") == b"four"
    assert cache.bytes == 0


def test_threads_that_ask_at_once_wait_for_the_one_that_makes() -> None:
    cache, made = BoundedCache[bytes](100, len), list[int]()

    def slow() -> bytes:
        made.append(1)
        time.sleep(0.05)
        return b"x"

    threads = [threading.Thread(target=lambda: cache.get("x", slow)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_failure_is_not_kept() -> None:
    cache = BoundedCache[bytes](100, len)

    def fail() -> bytes:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        cache.get("x", fail)
    assert cache.get("x", lambda: b"back") == b"back"
