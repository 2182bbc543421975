"""The names in a pickled array of text, read as data: nothing is imported, called or built.

`np.save` pickles an array of Python strings. Its pickle says, in a fixed order: rebuild an array, of this
shape and of objects, from this list. Whatever says anything else is refused.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from miso.errors import SampleError
from miso.samples.vendors.files.damage import refusing_damage

MAX_BYTES = 2**28
"""No list of names is longer."""
ARRAY_MAKERS = {f"numpy.{core}.multiarray _reconstruct" for core in ("core", "_core")}
VALUES = {
    "BINUNICODE",
    "BINUNICODE8",
    "SHORT_BINUNICODE",
    "UNICODE",
    "BINBYTES",
    "BINBYTES8",
    "SHORT_BINBYTES",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
}
CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
FIXED_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = {"PROTO", "FRAME"}
MARK = object()
"""Begins a tuple or a run of items on the stack."""


@dataclass(frozen=True, slots=True)
class _Name:
    """What a pickle would import: only its name."""

    name: str


@dataclass(slots=True)
class _Call:
    """What a pickle would call, and the state it would set: never done."""

    function: object
    arguments: object
    state: object = None


@dataclass(slots=True)
class _Reader:
    """The stack of a pickle, of plain values and of descriptions of what would be built."""

    stack: list[object] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)
    _others: dict[str, Callable[[Any], None]] = field(init=False)

    def step(self, name: str, arg: Any) -> None:
        """Do one instruction.

        Raises
        ------
        ValueError
            If it is none that a list of names needs.
        """
        if name in IGNORED:
            return
        if name in VALUES:
            self.stack.append(arg)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in FIXED_TUPLES:
            self.stack.append(tuple(self._take(FIXED_TUPLES[name])))
        elif name in self._others:
            self._others[name](arg)
        else:
            raise ValueError(f"the instruction {name}")

    def __post_init__(self) -> None:
        self._others = {
            "MARK": lambda arg: self.stack.append(MARK),
            "GLOBAL": lambda arg: self.stack.append(_Name(str(arg))),
            "STACK_GLOBAL": lambda arg: self.stack.append(self._name(*self._take(2))),
            "EMPTY_LIST": lambda arg: self.stack.append([]),
            "LIST": lambda arg: self.stack.append(self._to_mark()),
            "TUPLE": lambda arg: self.stack.append(tuple(self._to_mark())),
            "APPEND": lambda arg: self._append(self._take(1)),
            "APPENDS": lambda arg: self._append(self._to_mark()),
            "REDUCE": lambda arg: self.stack.append(_Call(*self._take(2))),
            "BUILD": lambda arg: self._build(),
            "MEMOIZE": lambda arg: self._remember(len(self.memo)),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._remember),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda arg: self.stack.append(self.memo[arg])),
        }

    def _name(self, module: object, name: object) -> _Name:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is no text")
        return _Name(f"{module} {name}")

    def _take(self, n: int) -> list[object]:
        if len(self.stack) < n:
            raise ValueError("an empty stack")
        taken = self.stack[len(self.stack) - n :]
        del self.stack[len(self.stack) - n :]
        return taken

    def _to_mark(self) -> list[object]:
        at = next((i for i in range(len(self.stack) - 1, -1, -1) if self.stack[i] is MARK), None)
        if at is None:
            raise ValueError("the end of what was not begun")
        taken = self.stack[at + 1 :]
        del self.stack[at:]
        return taken

    def _append(self, values: list[object]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("an item without a list")
        target.extend(values)

    def _build(self) -> None:
        (state,) = self._take(1)
        if not isinstance(self.stack[-1], _Call):
            raise ValueError("a state without an object")
        self.stack[-1].state = state

    def _remember(self, at: int) -> None:
        self.memo[at] = self.stack[-1]


def strings_in_pickle(content: bytes, length: int, path: Path) -> list[str]:
    """Read the names of a pickled one-dimensional array of text or bytes.

    Raises
    ------
    SampleError
        If the pickle is damaged, or describes anything else.
    """
    reader = _Reader()
    end = 0
    with refusing_damage(path):
        for opcode, arg, position in pickletools.genops(content):
            if opcode.name == "STOP":
                end = (position or 0) + 1
                break
            reader.step(opcode.name, arg)
        names = _names(reader.stack, length)
    if names is None or end != len(content):
        raise SampleError(
            f"{path} is a pickle of something other than a list of {length:,} names, which MISO "
            "does not open; save it with np.save(path, np.array(names, dtype=str))"
        )
    return names


def _names(stack: list[object], length: int) -> list[str] | None:
    """Take the list out of the description of an array, or return None if it is another description."""
    array = stack[0] if len(stack) == 1 else None
    if not isinstance(array, _Call) or not isinstance(array.state, tuple) or len(array.state) != 5:
        return None
    made_by, (_, shape, dtype, _, items) = array.function, array.state
    is_array = isinstance(made_by, _Name) and made_by.name in ARRAY_MAKERS
    if not is_array or shape != (length,) or not _is_object(dtype) or not isinstance(items, list):
        return None
    if len(items) != length or not all(isinstance(item, str | bytes) for item in items):
        return None
    return [item.decode("utf-8") if isinstance(item, bytes) else item for item in items]


def _is_object(dtype: object) -> bool:
    if not isinstance(dtype, _Call) or not isinstance(dtype.function, _Name):
        return False
    kind = dtype.arguments[0] if isinstance(dtype.arguments, tuple) and dtype.arguments else None
    return dtype.function.name == "numpy dtype" and isinstance(kind, str) and kind in ("O8", "O4", "O", "|O")
