"""Batches of the commands: how they are launched, what is told of each unit, and the report that stays."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from miso.launch import Launch, Outcome, RunReport, Unit, Work, map_units
from miso.launch.memory import read_bytes
from miso.launch.provenance import stamp
from miso.storage import write_path
from miso.storage.remote import local_path
from miso.untrusted.documents import DocumentError, read_json
from miso.verbs._table import keep_rest
from miso.verbs.console import program, show_table, tell

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")
RUN_REPORT = "run_report.json"
FAILED = "failed.csv"
SHOWN = 20
"""Failures that are listed on the screen; the report has them all."""


def read_launch(
    engine: str,
    workers: int | None,
    address: str | None,
    cpus: float | None,
    gpus: float,
    memory: str | None,
    deadline: float | None,
    retries: int,
) -> Launch:
    """Put the options of a launch together."""
    return Launch(
        engine=engine,  # type: ignore[arg-type]  # checked there
        workers=workers,
        address=address,
        cpus=cpus,
        gpus=gpus,
        memory=None if memory is None else read_bytes(memory),
        deadline_s=deadline,
        retries=retries,
    )


def teller(total: int) -> Callable[[Outcome], None]:
    """Tell of each unit as it ends, with how many there are if there are many."""
    seen = 0

    def say(outcome: Outcome) -> None:
        nonlocal seen
        seen += 1
        count = f"{seen}/{total} " if total > SHOWN else ""
        failed = "FAILED " if outcome.state == "failed" else ""
        tell(f"{count}{outcome.unit}: {failed}{outcome.message} ({outcome.seconds:.1f} s)")

    return say


def said(*options: tuple[str, object, object]) -> list[str]:
    """Return the words of options (name, value, usual value) that are not as usual."""
    return [word for name, value, usual in options if value != usual for word in (name, str(value))]


def launch_words(launch: Launch) -> list[str]:
    """Return the words that launch a batch like this one."""
    return said(
        ("--launch", launch.engine, "local"),
        ("--workers", launch.workers, None),
        ("--address", launch.address, None),
        ("--cpus", launch.cpus, None),
        ("--gpus", launch.gpus, 0),
        ("--memory", launch.memory, None),
        ("--deadline", launch.deadline_s, None),
        ("--retries", launch.retries, Launch().retries),
    )


@contextmanager
def results_in(out: str) -> Iterator[Path]:
    """Make the folder of a batch's results, or take the present one for the report of those at a URL."""
    folder = local_path(out)
    if folder is None:
        yield Path.cwd()
        return
    made = not folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def run_table(
    units: Sequence[Unit[Row]],
    work: Work[Row],
    launch: Launch,
    out: str,
    *,
    columns: Sequence[str],
    command: str,
    again: Callable[[Path], list[str]],
    kind: str,
) -> RunReport:
    """Do the rows of a table; beside the results go the run report and the table of what failed.

    Parameters
    ----------
    out
        Folder or URL of the results; reports of a URL are in the present folder, under names of their own.
    columns
        Of the table.
    command, again
        The command, and its words for doing the rows of another table.
    kind
        What the rows are, in the plural.
    """
    tasks = {unit.name: unit.task for unit in units}
    with results_in(out) as folder:
        report = map_units(units, work, launch, teller(len(units)))
        before = report_place(out, command)[1]
        rest = folder / f"{before}{FAILED}"
        keep_rest(rest, columns, [asdict(tasks[one.unit]) for one in report.having("failed")], tasks)
        keep_report(report, folder, [command, *again(rest), *launch_words(launch)], kind, before)
    return report


def report_place(out: str, command: str) -> tuple[Path, str]:
    """Where the report of a batch goes, and how its name begins: of one at a URL, into the present folder."""
    folder = local_path(out)
    return (folder, "") if folder else (Path.cwd(), f"{command}-{sha256(out.encode()).hexdigest()[:8]}-")


def keep_report(report: RunReport, out: Path, again: list[str] | None, kind: str, before: str = "") -> None:
    """Write what became of every unit, and say what failed and how only that is done again.

    Parameters
    ----------
    again
        Words of the command that does the failed units again; None where it is the same command.
    kind
        What the units are, in the plural.
    before
        Begins the report's name.
    """
    failed = report.having("failed")
    if not out.is_dir():
        if len(failed) > 1:
            tell(f"nothing could be done: {len(failed)} of {len(failed)} {kind} failed")
        return
    file = out / f"{before}{RUN_REPORT}"
    one_or_none = len(report.outcomes) == 1 or len(report.having("skipped")) == len(report.outcomes)
    if one_or_none and not _tells_of_failures(file):
        return
    command = shlex.join([program(), *(again or sys.argv[1:])]) if failed else None
    counts = {state: len(report.having(state)) for state in ("done", "skipped", "failed")}
    content = {**stamp(), **counts, "again": command, "units": [asdict(one) for one in report.outcomes]}
    with write_path(file) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False))
    tell(", ".join(f"{count} {state}" for state, count in counts.items()) + f" ({file})")
    if failed:
        _show_failures(report, kind)
        tell(f"{len(failed)} of {len(report.outcomes)} {kind} failed; only them again: {command}")


def _tells_of_failures(file: Path) -> bool:
    """Whether an earlier report names failures, which may be mended now."""
    try:
        return bool(read_json(file)["failed"])
    except (FileNotFoundError, DocumentError, KeyError, TypeError):
        return False


def _show_failures(report: RunReport, kind: str) -> None:
    failed = report.having("failed")
    rows = [(one.unit, str(one.attempts), one.message) for one in failed[:SHOWN]]
    title = f"failed {kind}" + (f", the first {SHOWN} of {len(failed)}" if len(failed) > SHOWN else "")
    show_table(title, ["unit", "attempts", "why"], rows, words=("why",))
