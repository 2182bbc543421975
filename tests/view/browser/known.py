"""What the browser tests look at: a slide whose colours say where they are, a map with one hot cell."""

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, MPP, STEP = (
    2400,
    1600,
    0.5,
    4.0,
)  # px, px, µm/px, px a cell: 400 × 600 cells of 2 µm, in 3 levels
HOT = (130, 290)  # row and column: x 1160 to 1164, y 520 to 524
HOT_XY = ((HOT[1] + 0.5) * STEP, (HOT[0] + 0.5) * STEP)
AT_HOT = f"#x={HOT_XY[0]}&y={HOT_XY[1]}&zoom=10&opacity=1"
YELLOW, PURPLE = (253, 231, 37), (68, 1, 84)  # the ends of viridis
HOSTILE = '<img src=x onerror="document.title=`run`">'
GENES = ("KRT8", "ERBB2", HOSTILE, "=cmd()", "MUC1")


def values() -> NDArray[np.float32]:
    """Gene, row, column: 1 to 7 from left to right, times 1, 2, …; unseen left of column 50; one hot."""
    ramp = np.broadcast_to(1 + np.arange(600, dtype=np.float32) / 100, (400, 600))
    planes = np.stack([ramp * (1 + gene) for gene in range(len(GENES))]).astype(np.float32)
    planes[:, :, :50] = np.nan
    planes[0][HOT] = 100
    return planes


def of_slide(x: float, y: float) -> tuple[float, ...]:
    """Return the slide's colour at a level-0 pixel."""
    return (x * 255 / WIDTH, y * 255 / HEIGHT, 120)
