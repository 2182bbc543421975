"""The one way to plug in: a name and a factory, from this package or from another one's entry points."""

import difflib
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from miso.errors import MisoError

T = TypeVar("T")


class Registry(Generic[T]):
    """Named factories; `kind` is the noun in messages, `group` the entry-point group other packages use."""

    def __init__(self, kind: str, group: str, error: type[MisoError] = MisoError) -> None:
        self.kind, self.group, self.error = kind, group, error
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files its argument under `name`."""

        def keep(item: T) -> T:
            self._items[name] = item
            return item

        return keep

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._items, *(point.name for point in entry_points(group=self.group))}))

    def __getitem__(self, name: str) -> T:
        if name in self._items:
            return self._items[name]
        for point in entry_points(group=self.group, name=name):
            self._items[name] = point.load()
            return self._items[name]
        raise self.error(unknown(self.kind, name, self))


def unknown(kind: str, name: str, known: "Iterator[str] | Registry[T] | list[str]") -> str:
    """Word the refusal of a name, with the nearest known ones."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names)}"
    return f"unknown {kind} {name!r}; {hint}"
