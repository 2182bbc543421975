"""A slide of 700 × 500 px whose colours say where they are, a map and spots on it, and a scene of them."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
from numpy.typing import NDArray

from miso.geometry import Raster
from miso.maps import ExpressionMap, open_map
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.store import new_map
from miso.maps.thumbnail import Thumbnail
from miso.slides import Slide
from miso.view.scene import Scene, open_scene

SIZE = (700, 500)  # px; at 0.5 µm/px, and 2 px a cell, the map has 250 × 350 cells, in two levels
GENES = ("KRT8", "<img src=x onerror=alert(1)>", "=cmd()")
Planes = NDArray[np.float32]


@pytest.fixture
def slide_path(save: Callable[..., Slide]) -> Path:
    """Red is a third of x, green a third of y."""
    x, y = np.meshgrid(np.arange(SIZE[0]) / 3, np.arange(SIZE[1]) / 3)
    with save(np.stack([x, y, np.full_like(x, 120)], axis=-1).astype(np.uint8), 0.5, "s.png") as slide:
        return slide.path


@pytest.fixture
def planes() -> Planes:
    """Gene, row, column: unseen in the first twenty columns."""
    values = np.random.default_rng(0).random((len(GENES), 250, 350), dtype=np.float32)
    values[:, :, :20] = np.nan
    return values


@pytest.fixture
def map_on(slide_path: Path, planes: Planes, tmp_path: Path) -> Callable[..., ExpressionMap]:
    """Write a map on the slide, or on one of another size; spread is a tenth of the values, novelty 0.5."""

    def make(size_px: tuple[int, int] = SIZE, *, std: bool = True) -> ExpressionMap:
        header = MapHeader(
            genes=GENES,
            units="counts per spot",
            pitch_um=1.0,
            raster=Raster.over(SIZE, 2.0),
            slide=SlideRecord(
                name="s.png",
                path=str(slide_path),
                size_px=size_px,
                mpp=0.5,
                mpp_source="test",
                fingerprint="0",
            ),
            provenance={"encoder": "stain@1"},
            has_std=std,
            has_novelty=std,
            grades={"KRT8": "C", "=cmd()": "A"},
        )
        small = Thumbnail(rgb=np.zeros((5, 7, 3), np.uint8), slide_size_px=size_px)
        path = tmp_path / f"map{len(list(tmp_path.glob('map*')))}.zarr"
        novelty = np.full((1, *planes.shape[1:]), 0.5, np.float32)
        rows = [planes, planes / 10, novelty] if std else [planes]
        with new_map(path, header, small, keep=np.ones(planes.shape[1:], np.bool_)) as writer:
            writer.put(0, rows)
        return open_map(path)

    return make


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """What a run writes of three spots, two genes."""
    adata = anndata.AnnData(X=np.array([[1, 2], [3, 4], [5, np.nan]], np.float32))
    adata.var_names, adata.obs_names = ["KRT8", "ERBB2"], ["a", "b", "<b>c</b>"]
    adata.obsm["spatial"] = np.array([[100.25, 50], [300, 50], [500, 450]])
    adata.uns["miso"] = {"sample": "S1", "units": "counts per spot", "spot_diameter_um": 55.0}
    adata.write_h5ad(tmp_path / "S1.h5ad")
    return tmp_path / "S1.h5ad"


@pytest.fixture
def scene(slide_path: Path, map_on: Callable[..., ExpressionMap], predictions: Path) -> Scene:
    """The slide, its map and the predictions."""
    return open_scene(slide_path, [map_on().path], [predictions])
