"""A cache that many threads share and that holds no more than so many bytes; what was used last stays."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """Values by key; `size_of` says how many bytes one takes."""

    def __init__(self, max_bytes: int, size_of: Callable[[V], int]) -> None:
        self._max, self._size_of = max_bytes, size_of
        self._held: OrderedDict[Hashable, V] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()
        self.bytes = 0

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return a value, made by one thread while others that ask for it wait."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            own = self._making.setdefault(key, threading.Lock())
        with own:
            with self._lock:
                if key in self._held:
                    return self._held[key]
            try:
                value = make()
                self._keep(key, value)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value

    def _keep(self, key: Hashable, value: V) -> None:
        size = self._size_of(value)
        if size > self._max:
            return
        with self._lock:
            self._held[key] = value
            self.bytes += size
            while self.bytes > self._max:
                _, oldest = self._held.popitem(last=False)
                self.bytes -= self._size_of(oldest)
