"""What a command shows while it works: lines, progress bars and tables, on stderr if no result."""

import shutil
import sys
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.console import Console, JustifyMethod
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

T = TypeVar("T")
screen = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)


def tell(line: str) -> None:
    """Print a line about the work."""
    screen.print(line, markup=False)


def track(iterable: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Show a bar on a terminal; elsewhere (a log) nothing."""
    if not sys.stderr.isatty() or total < 2:
        yield from iterable
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(description, total=total)
        for item in iterable:
            yield item
            progress.advance(task)


@contextmanager
def timed(times: dict[str, float], stage: str) -> Iterator[None]:
    """Add the seconds a stage takes to `times`."""
    start = time.monotonic()
    try:
        yield
    finally:
        times[stage] = times.get(stage, 0.0) + time.monotonic() - start


def show_table(
    title: str, columns: list[str], rows: Iterable[tuple[str, ...]], words: Container[str] = ()
) -> None:
    """Print a table of results on stdout; on a narrow screen headings fold, and figures are never cut.

    Columns of `words` begin at the left, and fold.
    """
    table, rows = Table(title=title, title_justify="left", header_style="bold"), list(rows)
    for index, column in enumerate(columns):
        in_words = column in words
        widest = 10 if in_words else max((len(row[index]) for row in rows), default=0)
        justify: JustifyMethod = "left" if index == 0 or in_words else "right"
        table.add_column(column, justify=justify, min_width=widest, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def program() -> str:
    """How this program is called from here: `miso` where that finds it, or else its path."""
    path = Path(sys.argv[0])
    found = shutil.which("miso")
    known = found is not None and path.exists() and Path(found).samefile(path)
    return "miso" if path.name != "miso" or known or not path.exists() else str(path)


def number(value: float | None, digits: int = 3) -> str:
    """Write a figure, or a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"
