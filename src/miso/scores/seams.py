"""How much a map shows the windows that it was made of: its steps across their borders, against elsewhere."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


def seam_index(
    plane: Float[NDArray[np.floating], "row col"],
    border_rows: Collection[int],
    border_cols: Collection[int],
    reach: int = 1,
) -> float:
    """Mean step of a map across the borders of windows, over its mean step elsewhere; 1 shows no seam.

    A step is the difference between the means of the `reach` cells after and before a line, `reach` being
    the cells along a patch: within a patch nothing changes. Below 1 the map is smoother at borders than
    elsewhere. NaN if no border, or nothing else, is seen.

    Parameters
    ----------
    border_rows, border_cols
        Rows and columns on which windows begin, or which follow their last one.
    """
    steps = [_steps(plane, reach), _steps(plane.T, reach)]
    at = [
        np.isin(np.arange(len(s)) + reach, list(b))
        for s, b in zip(steps, (border_rows, border_cols), strict=True)
    ]
    across = np.concatenate([s[lines].ravel() for s, lines in zip(steps, at, strict=True)])
    inside = np.concatenate([s[~lines].ravel() for s, lines in zip(steps, at, strict=True)])
    across, inside = across[np.isfinite(across)], inside[np.isfinite(inside)]
    if not across.size or not inside.size or not inside.any():
        return float("nan")
    return float(across.mean() / inside.mean())


def _steps(
    plane: Float[NDArray[np.floating], "row col"], reach: int
) -> Float[NDArray[np.float64], "line col"]:
    """Return absolute steps across the lines above row `reach` and all that follow but the last ones."""
    if len(plane) < 2 * reach:
        return np.empty((0, plane.shape[1]))
    strips = np.lib.stride_tricks.sliding_window_view(plane.astype(np.float64), reach, axis=0).mean(axis=-1)
    return np.asarray(np.abs(strips[reach:] - strips[:-reach]), dtype=np.float64)
