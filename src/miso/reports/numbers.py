"""Figures as a page writes them: a true minus, thousands apart, a dash where there is none."""

from typing import Any

import numpy as np


def number(value: Any, digits: int = 3) -> str:
    """Write a figure with a true minus, or a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{round(float(value), digits) + 0.0:,.{digits}f}".replace("-", "−")  # no negative zero


def integer(value: Any) -> str:
    """Write a count, or a dash where there is none."""
    return number(value, 0)


def short(value: Any) -> str:
    """Write a figure to three significant places, or a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    if abs(value) >= 1000:
        return number(value, 0)
    return f"{float(value):.3g}".replace("-", "−")


def percent(value: Any) -> str:
    """Write a difference as signed per cent, or a dash where there is none."""
    return f"{value:+.1%}".replace("-", "−").replace("%", " %") if np.isfinite(value) else "–"


def share(value: Any) -> str:
    """Write a share as per cent, or a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.1%}".replace("%", " %")
