"""The tables of the measured rows, for a terminal or as Markdown; columns name their units."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from growth import area, extrapolate, sections, spots, workers
from growth.extrapolate import Assumptions
from growth.fit import MOST_MEMORY, MOST_TIME, UPPER, Growth, growth_of, verdict
from growth.rows import Row, Rows
from miso.verbs.console import number, show_table

KINDS = {
    area.AXIS: (area.PYRAMID, area.MAP),
    spots.AXIS: (spots.NEIGHBOURS, spots.BLOCKS, spots.STEP, spots.INFERENCE),
    sections.AXIS: (sections.PROCESS, sections.REPORT, sections.TRAIN),
}
FLAT = (area.AXIS, sections.AXIS)
"""Axes along which memory was asked to be flat."""
UNITS = {
    area.AXIS: ("ms a megapixel", 1e9),
    spots.AXIS: ("µs a spot", 1e6),
    sections.AXIS: ("ms a section", 1e3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A title, the names of columns, and rows of words; the first column is left-aligned."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def show(self) -> None:
        """Print it on the terminal."""
        show_table(self.title, list(self.columns), self.rows)

    def markdown(self) -> str:
        """Write it as Markdown."""
        lines = [f"**{self.title}**", "", _line(self.columns)]
        lines += ["|---|" + "---:|" * (len(self.columns) - 1), *map(_line, self.rows)]
        return "\n".join(lines) + "\n"


def tables(rows: Rows) -> list[Table]:
    """Make the tables of whatever is measured."""
    made = [table for axis in KINDS for table in _costs(rows, axis)]
    made += [_workers(rows.having(workers.AXIS)), _growth(rows), _fleet(rows.having(extrapolate.AXIS))]
    made += [_assumed(rows.having(extrapolate.AXIS))]
    return [table for table in made if table.rows]


def _costs(rows: Rows, axis: str) -> list[Table]:
    """One table a kind of work."""
    made = []
    for what in KINDS[axis]:
        found = rows.having(axis, what)
        written = any("written_kb" in row for row in found)
        columns = ("", "wall s", "CPU s", UNITS[axis][0], "peak MiB", *(("MB",) if written else ()))
        sizes = "; ".join(dict.fromkeys(str(row["sizes"]) for row in found))
        lines = [(_size(axis, float(row["n"])), *_cost(axis, row), *_written(row)) for row in found]
        made.append(Table(title=f"{what} ({sizes})", columns=columns, rows=lines))
    return made


def _cost(axis: str, row: Row) -> tuple[str, ...]:
    wall = float(row["wall_s"])
    each = UNITS[axis][1] * wall / float(row["n"])
    return (
        _brief(wall),
        _brief(float(row["cpu_s"])),
        _brief(each),
        number(float(row["peak_mib"]), 0),
    )


def _written(row: Row) -> tuple[str, ...]:
    return (_brief(float(row["written_kb"]) / 1e3),) if "written_kb" in row else ()


def _growth(rows: Rows) -> Table:
    lines = []
    for axis, kinds in KINDS.items():
        for what in kinds:
            found = growth_of(rows.having(axis), what)
            if found is not None:
                lines.append(_exponents(axis, found))
    title = (
        f"exponents over the {UPPER} largest sizes; asked: time ≤ {MOST_TIME}, memory flat ≤ {MOST_MEMORY}"
    )
    columns = ("", "sizes", "wall", "last step", "CPU", "memory", "memory ratio", "bytes", "")
    return Table(title=title, columns=columns, rows=lines)


def _exponents(axis: str, found: Growth) -> tuple[str, ...]:
    flat = axis in FLAT
    span = f"{_size(axis, found.sizes[0])} to {_size(axis, found.sizes[-1])}"
    return (
        f"{found.what}",
        span,
        number(found.wall, 2),
        number(found.last, 2),
        number(found.cpu, 2),
        number(found.memory, 2) if flat else f"({number(found.memory, 2)})",
        number(found.memory_ratio, 2),
        number(found.size, 2),
        verdict(found, flat_memory=flat),
    )


def _workers(found: Sequence[Row]) -> Table:
    lines, first = [], next((float(row["wall_s"]) for row in found if row["n"] == 1), None)
    for row in found:
        faster = None if first is None else first / float(row["wall_s"])
        numbers = (number(float(row["wall_s"]), 1), number(float(row["cpu_s"]), 1), str(row["per_minute"]))
        lines.append((str(row["n"]), *numbers, number(faster, 2)))
    sizes = str(found[0]["sizes"]) if found else ""
    columns = ("workers", "wall s", "CPU s", "sections a minute", "× as fast")
    return Table(title=f"process-cohort ({sizes})", columns=columns, rows=lines)


FLEET = {
    "formula_h": "formula, h",
    "simulated_h": "simulated, h",
    "low_h": "2.5 %",
    "high_h": "97.5 %",
    "difference_pct": "formula off by, %",
    "wasted_pct": "wasted, %",
    "idle_pct": "unused, %",
    "failed": "failed",
}


def _fleet(found: Sequence[Row]) -> Table:
    order = list(extrapolate.scenarios(Assumptions()))
    found = sorted(found, key=lambda row: order.index(str(row["what"])))
    lines = [(str(row["what"]), *(f"{float(row[key]):.2f}" for key in FLEET)) for row in found]
    return Table(title=_of_fleet(found), columns=("", *FLEET.values()), rows=lines)


def _of_fleet(found: Sequence[Row]) -> str:
    if not found:
        return ""
    given = json.loads(str(found[0]["sizes"]))
    actors, source = (
        given["nodes"] * given["gpus"],
        given["measured"] or "the rate of a GPU is assumed",
    )
    return f"{given['slides']:,} slides on {actors} GPUs, {given['seeds']} seeds ({source})"


def _assumed(found: Sequence[Row]) -> Table:
    given = json.loads(str(found[0]["sizes"])) if found else {}
    made = Assumptions(measured=given.get("measured", ""))
    kept = {key: value for key, value in given.items() if key not in ("measured", "seeds")}
    lines = [(key, f"{value:,g}", made.source(key)) for key, value in kept.items()]
    return Table(title="what that assumes", columns=("", "value", "from"), rows=lines)


def _size(axis: str, n: float) -> str:
    return f"{round(n**0.5):,}² px" if axis == area.AXIS else f"{n:,.0f}"


def _brief(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(words) + " |"
