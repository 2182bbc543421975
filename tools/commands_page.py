"""Write docs/commands.md: every command with its help, as the commands themselves tell it.

`python tools/commands_page.py` writes the page; a test fails while it says anything else than they do.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer.main import get_command

from miso.cli import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
HEAD = """\
# Commands

This page is written by `tools/commands_page.py` from the commands' own help; `miso COMMAND --help` says the
same in a terminal.

- Options may be written with dashes or underscores: `--path-slide` and `--path_slide` are one.
- Exit codes: **0** done; **2** the input is at fault, told in one line; **3** some sections of a batch failed
  and the rest are done; **1** a fault of MISO's own, with a traceback; **130** interrupted.
- Results go to standard output, progress and notes to standard error.
- A command that was interrupted goes on when it is given again. Samples, runs, maps, bundles and exports that
  are there are never written over: the same one is kept or refused, and of another one the message says what
  differs. Pictures, reports and predictions are written anew.

In the order of the road:

"""
EXAMPLE = re.compile(r"Example: (`miso .*)", re.DOTALL)


def page() -> str:
    """Return the whole page."""
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    contents = "\n".join(f"- [`miso {name}`](#miso-{name}): {_first(c.help)}" for name, c in commands.items())
    return "\n".join([HEAD + contents, "", *(section(name, command) for name, command in commands.items())])


def section(name: str, command: Any) -> str:
    """Return one command: how it is called, what it does, and a table of what it takes."""
    shown = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option"]
    usage = " ".join(["miso", name, *map(_metavar, arguments), *(["[OPTIONS]"] if options else [])])
    parts = [f"## miso {name}", f"```console\n{usage}\n```", *map(_paragraph, _paragraphs(command.help))]
    rows = [_row(f"`{_metavar(p)}`", p) for p in arguments] + [_row(_spelled(p), p) for p in options]
    table = "\n".join(["| | | default |", "|---|---|---|", *rows])
    return "\n\n".join([*parts, table, ""])


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n")]


def _first(text: str) -> str:
    return _escaped(_paragraphs(text)[0])


def _paragraph(text: str) -> str:
    """Show an example as a block of commands, anything else as text."""
    found = EXAMPLE.fullmatch(text)
    if not found:
        return _escaped(text)
    lines = re.findall(r"`(miso [^`]*)`", found[1])
    return "\n".join(["```sh", *lines, "```"])


def _row(spelled: str, param: Any) -> str:
    default = param.default
    if param.required:
        told = "**required**"
    elif getattr(param, "is_flag", False):
        told = f"`{param.opts[0]}`" if default and param.secondary_opts else ""
    else:
        told = f"`{default}`" if default not in (None, "", (), []) else ""
    return f"| {spelled} | {_escaped(param.help or '')} | {told} |"


def _spelled(param: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
    value = "" if getattr(param, "is_flag", False) or not param.metavar else f" `{param.metavar}`"
    return names + value


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper() + ("..." if param.nargs == -1 else ""))


def _escaped(text: str) -> str:
    """Keep Markdown from taking `<…>` for tags and `|` for columns, outside of code."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*") for part in parts[::2]]
    return "`".join(part if index % 2 == 0 else part.replace("|", "\\|") for index, part in enumerate(parts))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
