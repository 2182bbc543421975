"""The optional packages that read what our own ViT does not, and the line that installs each."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from miso.errors import EncoderError

INSTALL = {
    "timm": "pip install --no-deps timm",
    "transformers": "pip install 'miso-spatial[transformers]'",
}
"""timm's dependencies are ours too, except torchvision, which is not used here and may replace torch."""


def is_installed(extra: str) -> bool:
    """Whether a package could be imported, found without importing it."""
    if extra in sys.modules:
        return sys.modules[extra] is not None  # a test may have hidden it
    return find_spec(extra) is not None


def import_extra(extra: str) -> Any:
    """Import `timm` or `transformers`.

    Raises
    ------
    EncoderError
        If it is not installed, or does not fit what else is.
    """
    if not is_installed(extra):
        raise EncoderError(f"it needs the extra {extra!r}, which is not installed: {INSTALL[extra]}")
    try:
        if extra == "timm":
            return import_timm()
        return importlib.import_module(extra)
    except (ImportError, RuntimeError) as err:
        raise EncoderError(f"{extra!r} is installed but cannot be imported ({_first_line(err)})") from err


def import_timm() -> Any:
    """Import timm, with stand-ins for torchvision where that is absent or does not fit torch.

    timm names torchvision's image readers when it is imported; its models do not use them.
    """
    if "timm" in sys.modules or _has_torchvision():
        return importlib.import_module("timm")
    with _stand_ins("torchvision"):
        return importlib.import_module("timm")


def _has_torchvision() -> bool:
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):  # RuntimeError: built for another torch
        _forget("torchvision")
        return False
    return True


def _forget(package: str) -> None:
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        del sys.modules[name]


class _Anything(type):
    """A class whose every attribute is such a class."""

    def __getattr__(cls, name: str) -> "_Anything":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


class _StandIn(ModuleType):
    """A module in which every name is found."""

    def __getattr__(self, name: str) -> _Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


class _Finder(MetaPathFinder, Loader):
    """Finds a package and all modules in it, each a stand-in."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != self.package:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: names are made as they are asked for."""


@contextmanager
def _stand_ins(package: str) -> Iterator[None]:
    """Let a package be imported that is not there; nothing of it stays behind."""
    finder = _Finder(package)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _forget(package)


def _first_line(err: BaseException) -> str:
    return str(err).partition("\n")[0][:200]
