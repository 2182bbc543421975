"""How well a map below the spot agrees with the phantom's truth; every position is in level-0 pixels."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from miso.geometry import Points, Raster

Plane = Float[NDArray[np.float32], "row col"]


def cells_under_spots(
    raster: Raster, center_xy: Points, diameter_px: float
) -> Int[NDArray[np.int64], "cell 3"]:
    """List the (spot, row, column) of the cells whose centres lie under a spot."""
    reach = int(np.ceil(diameter_px / 2 / raster.step_px))
    shift = np.arange(-reach, reach + 1)
    around = np.stack(np.meshgrid(shift, shift, indexing="ij"), axis=-1).reshape(-1, 2)
    cells = raster.cells_of(np.asarray(center_xy))[:, None] + around  # (spot, cell, 2)
    distance = raster.centers_xy(cells[..., 0], cells[..., 1]) - np.asarray(center_xy)[:, None]
    inside = (np.hypot(distance[..., 0], distance[..., 1]) <= diameter_px / 2) & raster.contains(cells)
    spots = np.broadcast_to(np.arange(len(cells))[:, None], inside.shape)
    return np.column_stack([spots[inside], cells[inside]])


def between_spots(center_xy: Points, pitch_px: float, diameter_px: float) -> Points:
    """Centres of discs of a spot's size in the gaps of a square array: half a pitch off along x and y.

    Those that would overlap a spot, or one before them in the list, are left out.
    """
    half, found = pitch_px / 2, list[Points]()
    corners = np.array([(-half, -half), (half, -half), (-half, half), (half, half)])
    taken = np.asarray(center_xy, dtype=np.float64)
    for place in (taken[:, None] + corners).reshape(-1, 2):
        if np.hypot(*(taken - place).T).min() >= diameter_px:
            taken = np.vstack([taken, place])
            found.append(place)
    return np.array(found).reshape(-1, 2)


def within_spot_r(predicted: Plane, truth: Plane, cells: Int[NDArray[np.int64], "cell 3"]) -> float:
    """Pearson's r over the cells under spots, each spot's own mean taken off both sides.

    It is what super-resolution adds: a map that is flat within every spot scores nothing. NaN where the
    truth, or the map, does not vary within spots. Cells that the map did not see are left out.
    """
    spot, row, col = cells.T
    p, t = predicted[row, col].astype(np.float64), truth[row, col].astype(np.float64)
    seen = np.isfinite(p) & np.isfinite(t)
    p, t = (_off_their_mean(values[seen], spot[seen]) for values in (p, t))
    norm = np.sqrt((p**2).sum() * (t**2).sum())
    return float((p * t).sum() / norm) if norm > 1e-9 * max(len(p), 1) else float("nan")


def _off_their_mean(
    values: Float[NDArray[np.float64], " cell"], group: Int[NDArray[np.int64], " cell"]
) -> NDArray[np.float64]:
    sizes = np.bincount(group)
    sums = np.bincount(group, weights=values)
    return np.asarray(values - (sums / np.maximum(sizes, 1))[group])
