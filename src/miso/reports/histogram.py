"""Small histograms as SVG inside a page: how spots of a section are spread, with their median."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from markupsafe import Markup, escape
from numpy.typing import NDArray

from miso.reports.numbers import short

BINS, WIDTH, HEIGHT, FOOT = 24, 224, 64, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """What is spread, its drawing, and its median."""

    title: str
    drawing: Markup
    median: float


def histogram(title: str, values: Float[NDArray[np.floating], " spot"]) -> Histogram | None:
    """Draw how finite values are spread over equal bins; None where there are none."""
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    low, high = float(known.min()), float(known.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    counts, _ = np.histogram(known, edges)
    median = float(np.median(known))
    at = WIDTH * (median - low) / (edges[-1] - low)
    said = f"{title}: {short(low)} to {short(high)}, median {short(median)}"
    drawing = Markup(
        '<svg viewBox="0 0 {w} {h}" role="img" aria-label="{said}"><path class="fill" d="{bars}"/>'
        '<path class="axis" d="M0 {y}H{w}"/><path class="mark" d="M{at:.1f} 0V{y}"/>'
        '<text x="0" y="{base}">{low}</text>'
        '<text x="{w}" y="{base}" text-anchor="end">{high}</text></svg>'
    ).format(
        w=WIDTH,
        h=HEIGHT + FOOT,
        y=HEIGHT,
        base=HEIGHT + 12,
        said=escape(said),
        bars=_bars(counts / counts.max()),
        at=at,
        low=short(low),
        high=short(high),
    )
    return Histogram(title=title, drawing=drawing, median=median)


def _bars(heights: Float[NDArray[np.float64], " bin"]) -> str:
    """Return the path of the bars: one shape, from the axis up and down again."""
    wide = WIDTH / len(heights)
    return "".join(
        f"M{i * wide + 0.5:.1f} {HEIGHT}V{HEIGHT * (1 - 0.95 * h):.1f}H{(i + 1) * wide - 0.5:.1f}V{HEIGHT}Z"
        for i, h in enumerate(heights)
        if h
    )
