"""The picture of growth: four panels, log–log; each line says its exponent at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from growth import area, sections, spots
from growth.fit import growth_of
from growth.rows import Row, Rows

COLORS = ("#1b6ca8", "#c8553d", "#3c8d53", "#7a4fa3")
GREY = "#777777"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Sizes and costs of one kind of work, and what is written at its end."""

    sizes: tuple[float, ...]
    costs: tuple[float, ...]
    label: str


def draw(rows: Rows, out: Path) -> None:
    """Draw time along each axis, and peak memory along all of them."""
    figure, ((top_left, top_right), (low_left, low_right)) = plt.subplots(2, 2, figsize=(12, 9), dpi=110)
    _panel(top_left, _times(rows, area.AXIS, 1e-6), "Slide area", "megapixels", "seconds")
    _panel(top_right, _times(rows, spots.AXIS), "Spots of a section", "spots", "seconds")
    _panel(low_left, _times(rows, sections.AXIS), "Sections of a cohort", "sections", "seconds")
    _panel(low_right, _memory(rows), "Peak memory", "size, × the smallest measured", "MiB", slope=False)
    figure.tight_layout(w_pad=3, h_pad=3)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    plt.close(figure)


def _times(rows: Rows, axis: str, scale: float = 1.0) -> list[Line]:
    found, lines = rows.having(axis), []
    for what in dict.fromkeys(str(row["what"]) for row in found):
        growth = growth_of(found, what)
        exponent = "" if growth is None else f"  ∝ n^{growth.wall:.2f}"
        lines.append(_line(_of(found, what), "wall_s", scale, f"{what}{exponent}"))
    return lines


def _memory(rows: Rows) -> list[Line]:
    """Lines of the axes along which memory is to be flat."""
    lines = []
    for axis in (area.AXIS, sections.AXIS):
        found = rows.having(axis)
        for what in dict.fromkeys(str(row["what"]) for row in found):
            own, growth = _of(found, what), growth_of(found, what)
            exponent = "" if growth is None or growth.memory is None else f"  ∝ n^{growth.memory:.2f}"
            lines.append(_line(own, "peak_mib", 1 / float(own[0]["n"]), f"{what}{exponent}"))
    return lines


def _of(found: Sequence[Row], what: str) -> list[Row]:
    return sorted((row for row in found if row["what"] == what), key=lambda row: float(row["n"]))


def _line(own: Sequence[Row], column: str, scale: float, label: str) -> Line:
    sizes = tuple(float(row["n"]) * scale for row in own)
    return Line(sizes=sizes, costs=tuple(float(row[column]) for row in own), label=label)


def _panel(
    axes: Axes, lines: Sequence[Line], title: str, size: str, cost: str, *, slope: bool = True
) -> None:
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold")
    axes.set_xlabel(size, fontsize=11)
    axes.set_ylabel(cost, fontsize=11)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.tick_params(labelsize=10)
    axes.grid(visible=True, which="major", color="#e6e6e6")
    axes.spines[["top", "right"]].set_visible(False)
    if not lines:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=GREY)
        return
    colors = [COLORS[index % len(COLORS)] for index in range(len(lines))]
    dashes = ["-" if index < len(COLORS) else "--" for index in range(len(lines))]
    for line, color, dash in zip(lines, colors, dashes, strict=True):
        x, y = line.sizes, line.costs
        axes.plot(x, y, marker="o", color=color, linestyle=dash, linewidth=2, label=line.label)
    if slope:
        _proportional(axes, lines)
    else:
        low = min(min(line.costs) for line in lines)
        axes.set_ylim(bottom=low / 2, top=4 * max(max(line.costs) for line in lines))
    axes.legend(fontsize=10, frameon=False, loc="upper left")
    axes.margins(y=0.15)


def _proportional(axes: Axes, lines: Sequence[Line]) -> None:
    """Draw what is proportional to size, through the last point of the uppermost line."""
    top = max(lines, key=lambda line: line.costs[-1])
    x = np.array([min(line.sizes[0] for line in lines), max(line.sizes[-1] for line in lines)])
    axes.plot(x, top.costs[-1] * x / top.sizes[-1], color=GREY, linestyle=":", label="∝ n")
