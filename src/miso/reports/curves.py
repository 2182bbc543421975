"""Training curves as SVG inside a page: a score or a loss by epoch, one line a fold."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from miso.reports.numbers import short

WIDTH, HEIGHT, LEFT, FOOT, TOP = 320, 150, 44, 18, 8
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f", "#000000")
"""Told apart with any kind of colour vision (after Okabe and Ito); used again from the ninth line on."""
Line = Sequence[tuple[float, float]]


def draw_curves(title: str, lines: Mapping[str, Line]) -> Markup:
    """Draw lines of (epoch, value), by name, in one frame; no line has no drawing."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return Markup()
    epochs, values = zip(*points, strict=True)
    last, low, high = max(*epochs, 1), min(values), max(values)
    high = high if high > low else low + 1

    def at(epoch: float, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - 4) * epoch / last
        y = TOP + (HEIGHT - TOP) * (high - value) / (high - low)
        return f"{x:.1f} {y:.1f}"

    drawn = Markup().join(
        Markup('<path d="M{}" fill="none" stroke="{}" stroke-width="1.4"><title>{}</title></path>').format(
            "L".join(at(*point) for point in line), COLORS[index % len(COLORS)], name
        )
        for index, (name, line) in enumerate(lines.items())
        if line
    )
    return Markup(
        '<svg viewBox="0 0 {w} {h}" role="img" aria-label="{title}">'
        '<path class="axis" d="M{left} {top}V{y}H{w}"/>{drawn}'
        '<text x="{edge}" y="{ytop}" text-anchor="end">{high}</text>'
        '<text x="{edge}" y="{y}" text-anchor="end">{low}</text>'
        '<text x="{left}" y="{base}">0</text>'
        '<text x="{w}" y="{base}" text-anchor="end">epoch {last}</text></svg>'
    ).format(
        w=WIDTH,
        h=HEIGHT + FOOT,
        title=title,
        left=LEFT,
        top=TOP,
        ytop=TOP + 8,
        y=HEIGHT,
        edge=LEFT - 4,
        base=HEIGHT + 13,
        drawn=drawn,
        high=short(high),
        low=short(low),
        last=f"{last:g}",
    )
