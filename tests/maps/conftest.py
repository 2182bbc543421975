"""A slide whose colours say where they are, an encoder that reads them, a model that says them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from miso.encoders.encoder import Encoder, InputContract
from miso.geometry import Raster
from miso.maps import open_map
from miso.maps.expression_map import ExpressionMap
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.store import new_map
from miso.maps.thumbnail import Thumbnail
from miso.models.calibration import Calibration
from miso.slides import Slide


class MeanColour(nn.Module):
    """The mean colour of every patch in grey levels, plus `context` times the mean of its tile."""

    any_size = True

    def __init__(self, patch_px: int, context: float) -> None:
        super().__init__()
        self.pool, self.context = nn.AvgPool2d(patch_px), context

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        patches = self.pool(x * 255).flatten(2).transpose(1, 2)  # (tile, patch, 3)
        cls = patches.mean(1)
        return cls, patches + self.context * cls[:, None]


@dataclass
class ColourModel:
    """Red as level-0 x, green as level-0 y and blue as it is; remembers what it was shown."""

    size_px: tuple[int, int]
    genes: tuple[str, ...] = ("X", "Y", "BLUE")
    units: str = "px"
    looked_at: list[NDArray[np.float32]] = field(default_factory=list)
    references: list[object] = field(default_factory=list)
    fail_after: int | None = None
    variance: float = 0.0
    grades: dict[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None

    def reference(self, patch_features: NDArray[np.float32]) -> str:
        self.looked_at.append(patch_features)
        return "the slide's reference"

    def predict_patches(
        self,
        patch_features: NDArray[np.float32],
        reference: str | None = None,
        genes: Sequence[str] | None = None,
    ) -> NDArray[np.float32]:
        self.references.append(reference)
        if self.fail_after is not None and len(self.references) > self.fail_after:
            raise KeyboardInterrupt
        width, height = self.size_px
        x, y = patch_features[..., 0] / 200 * width, patch_features[..., 1] / 200 * height
        values = dict(zip(self.genes, (x, y, patch_features[..., 2]), strict=True))
        return np.stack([values[gene] for gene in genes or self.genes], axis=-1)

    def moments(
        self,
        patch_features: NDArray[np.float32],
        reference: str | None = None,
        genes: Sequence[str] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mean = self.predict_patches(patch_features, reference, genes)
        return mean, np.full_like(mean, self.variance)

    def novelty_of_slide(self, reference: str) -> float:
        return 1.5

    def novelty(
        self, patch_features: NDArray[np.float32], reference: str | None = None
    ) -> NDArray[np.float32]:
        return np.asarray(patch_features[..., 0].mean(axis=1) / 200, dtype=np.float32)


@pytest.fixture
def model_for() -> type[ColourModel]:
    return ColourModel


@pytest.fixture
def encoder(encoder_of: Callable[..., Encoder]) -> Encoder:
    return encoder_of()


@pytest.fixture
def encoder_of() -> Callable[..., Encoder]:
    def make(patch_px: int = 16, context: float = 0.0) -> Encoder:
        return Encoder(
            name="mean-colour",
            revision="1",
            module=MeanColour(patch_px, context),
            contract=InputContract(),
            patch_px=patch_px,
            tile_dim=3,
            patch_dim=3,
            licence="none",
        )

    return make


@pytest.fixture
def position_slide(save: Callable[..., Slide]) -> Callable[..., Slide]:
    """Red grows with x and green with y, from 0 to 200 over the slide; blue is 120."""

    def make(size_px: tuple[int, int], mpp: float = 0.5, name: str = "slide.png") -> Slide:
        width, height = size_px
        x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
        image = np.stack([x * 200, y * 200, np.full_like(x, 120)], axis=-1)
        return save(image.round().astype(np.uint8), mpp, name)

    return make


@pytest.fixture
def map_of(tmp_path: Path) -> Callable[..., ExpressionMap]:
    """A map on disk that holds these planes, one a gene, over a slide of 0.5 µm/px."""

    def make(
        planes: dict[str, NDArray[np.float32]],
        step_px: float = 16.0,
        thumbnail: NDArray[np.uint8] | None = None,
    ) -> ExpressionMap:
        values = np.stack(list(planes.values()))
        rows, columns = values.shape[1:]
        size_px = round(columns * step_px), round(rows * step_px)
        rgb = np.full((rows * 2, columns * 2, 3), 255, np.uint8) if thumbnail is None else thumbnail
        header = MapHeader(
            genes=tuple(planes),
            units="log1p CP10k",
            pitch_um=step_px / 2,
            raster=Raster.over(size_px, step_px),
            slide=SlideRecord(
                name="s.svs", path="/s.svs", size_px=size_px, mpp=0.5, mpp_source="test", fingerprint="0"
            ),
            provenance={"encoder": "mean-colour@1"},
        )
        keep = np.ones((rows, columns), dtype=np.bool_)
        with new_map(tmp_path / "m.zarr", header, Thumbnail(rgb=rgb, slide_size_px=size_px), keep) as writer:
            writer.put(0, [values.astype(np.float32)])
        return open_map(tmp_path / "m.zarr")

    return make


@pytest.fixture
def read_encode() -> Callable[[NDArray[np.uint8], Encoder], NDArray[np.float32]]:
    """Encode one tile, by hand."""
    return lambda tile, encoder: encoder.encode(torch.from_numpy(tile[None].copy())).patches[0].numpy()
