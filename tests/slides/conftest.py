"""Pictures with a known value everywhere, in the formats that slides come in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray

RGB = NDArray[np.uint8]


@pytest.fixture
def noise() -> RGB:
    """300 rows × 400 columns; no two neighbourhoods alike."""
    return np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)


@pytest.fixture
def slope() -> RGB:
    """232 columns × 200 rows: red is 9.5 + x, green 9.5 + y at pixel centres, which lie at column + 0.5."""
    x, y = np.meshgrid(np.arange(232), np.arange(200))
    return np.stack([10 + x, 10 + y, np.full_like(x, 90)], axis=-1).astype(np.uint8)


@pytest.fixture
def pyramid(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiled pyramidal TIFF with libvips."""

    def write(image: RGB, mpp: float | None = 0.5, name: str = "pyramid.tif", **settings: object) -> Path:
        path = tmp_path / name
        pixels_per_mm = {} if mpp is None else {"xres": 1000 / mpp, "yres": 1000 / mpp}
        settings = {
            "pyramid": True,
            "tile": True,
            "tile_width": 64,
            "tile_height": 64,
            **pixels_per_mm,
            **settings,
        }
        pyvips.Image.new_from_array(image).tiffsave(str(path), **settings)
        return path

    return write
