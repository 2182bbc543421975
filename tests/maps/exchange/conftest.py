"""A map whose values say where they are: the slide's x and y, and one cell that shines."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import shapely

from miso.maps import ExpressionMap
from miso.maps.regions import Region

STEP, ROWS, COLUMNS = 16.5, 30, 20
HOT = (7, 11)
"""Row and column of the cell that shines."""


@dataclass(frozen=True)
class Marked:
    """The map, the region about some of its cells, and where the bright cell is on the slide."""

    map: ExpressionMap
    region: Region
    hot_xy: tuple[float, float] = ((HOT[1] + 0.5) * STEP, (HOT[0] + 0.5) * STEP)
    step: float = STEP


@pytest.fixture
def marked(map_of: Callable[..., ExpressionMap]) -> Marked:
    """Cells of 16.5 px on a slide of 330 × 495 px; X and Y are centres, rows 0 to 2 were not seen."""
    x, y = np.meshgrid((np.arange(COLUMNS) + 0.5) * STEP, (np.arange(ROWS) + 0.5) * STEP)
    hot = np.zeros_like(x)
    hot[HOT] = 9
    planes = {"X": x, "Y": y, "HOT": hot}
    for plane in planes.values():
        plane[:3] = np.nan
    planes["Y"][29, 19] = np.nan  # a gene that is unknown in a cell that was seen
    picture = np.full((ROWS * 4, COLUMNS * 4, 3), 255, np.uint8)
    picture[HOT[0] * 4 : HOT[0] * 4 + 4, HOT[1] * 4 : HOT[1] * 4 + 4] = (200, 0, 0)
    map_ = map_of({g: p.astype(np.float32) for g, p in planes.items()}, step_px=STEP, thumbnail=picture)
    polygon = shapely.box(9.5 * STEP, 4.6 * STEP, 14 * STEP, 10.2 * STEP)  # rows 5 to 9, columns 9.5 to 13
    return Marked(map=map_, region=Region(name="about", polygon=polygon))
