"""JSON and YAML that others wrote, read within limits of size (bytes) and depth; plain values come out."""

import json
from collections.abc import Callable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any

import yaml

MOST_BYTES = 64 * 2**20
"""Of a JSON document: headers, manifests and indexes of 60,000 genes have less than a tenth."""
MOST_YAML_BYTES = 2**18
"""Of a YAML document: configurations have some 4,000."""
LONGEST_WHOLE = 18
"""Digits of a whole number that 64 bits hold for certain."""


class DocumentError(ValueError):
    """A document is too large, too deep, repeats itself, or is not of its kind; worded on one line."""


def read_json(path: Path | Traversable, most_bytes: int = MOST_BYTES) -> Any:
    """Read a JSON file.

    Raises
    ------
    DocumentError
        If it is no JSON, or goes beyond the limits.
    OSError
        If it is not there or may not be read.
    """
    with path.open("rb") as file:
        return load_json(file, most_bytes)


def load_json(file: IO[bytes], most_bytes: int = MOST_BYTES) -> Any:
    """Read JSON from an open file; see `read_json`."""
    return parse_json(_content(file, most_bytes))


def parse_json(content: str | bytes, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Parse JSON; whole numbers that no 64 bits hold become floats, so that none overflows later.

    Raises
    ------
    DocumentError
        If it is no JSON, or is nested deeper than the interpreter's stack.
    """
    try:
        return json.loads(content, object_hook=object_hook, parse_int=_whole)
    except RecursionError as err:
        raise DocumentError("it is nested too deeply") from err
    except (json.JSONDecodeError, UnicodeDecodeError) as err:
        raise DocumentError(" ".join(str(err).split())[:120]) from err


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain values, without tags and without aliases, which can stand for any amount.

    Raises
    ------
    DocumentError
        If it is no such YAML, or goes beyond the limits.
    OSError
        If it is not there or may not be read.
    """
    try:
        with path.open("rb") as file:
            return yaml.load(_content(file, MOST_YAML_BYTES), Loader=_PlainLoader)  # nosec B506  # it is a SafeLoader
    except RecursionError as err:
        raise DocumentError("it is nested too deeply") from err
    except (yaml.YAMLError, ValueError) as err:  # the latter of dates and numbers that cannot be
        raise DocumentError(" ".join(str(err).split())[:120]) from err


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]  # yaml ships no types
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise DocumentError("it has aliases (*), which MISO writes nowhere")
        return super().compose_node(parent, index)


def _content(file: IO[bytes], most_bytes: int) -> bytes:
    content = file.read(most_bytes + 1)  # not its stated size: it may be a device
    if len(content) > most_bytes:
        raise DocumentError(f"it has more than the {most_bytes:,} bytes that one of its kind may have")
    return content


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_WHOLE else float(digits)
