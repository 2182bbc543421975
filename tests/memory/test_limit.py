"""A process with a limit stays below it where without one it would not, and comes to the same bits."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Measure = Callable[..., dict[str, float]]

MAP = """
class Mean(torch.nn.Module):
    def forward(self, x):
        patches = torch.nn.functional.avg_pool2d(x, 16).flatten(2).transpose(1, 2)
        return patches.mean(1), patches

class Model:
    genes, units, grades, calibration = tuple(f"G{i}" for i in range(GENES)), "none", {}, None
    weights = np.random.default_rng(0).random((3, GENES), dtype=np.float32)
    def reference(self, features): return 0
    def moments(self, features, reference, genes):
        mean = features @ self.weights
        return mean, mean * 0
    def novelty(self, features, reference): return features.mean((1, 2))
    def novelty_of_slide(self, reference): return 0.5

slide = open_slide(place / "s.png", 0.5)
slide.thumbnail(64)
encoder = Encoder(name="mean", module=Mean(), patch_px=16, tile_dim=3, patch_dim=3, **about)
begin()
out = place / ("b" if len(sys.argv) > 3 else "a")
super_resolve(slide, encoder, Model(), out, tissue="all", seams="none")
end()
"""

PROCESS = """
import time
class Wide(torch.nn.Module):
    def forward(self, x):
        return torch.zeros(len(x), 6), (x.mean((1, 2, 3)).half()[:, None, None]).expand(len(x), 4, 400_000)

write = extract.RowFile.write
def slow(self, *rows):
    time.sleep(0.08)  # a slow disk
    return write(self, *rows)
extract.RowFile.write = slow

slide = open_slide(place / "s.png", 0.5)
slide.thumbnail(64)
encoder = Encoder(name="wide", module=Wide(), patch_px=16, tile_dim=6, patch_dim=400_000, **about)
spots = np.random.default_rng(0).uniform(50, 900, (112, 2))
load_encoder("stain")
begin()
folder = place / ("b" if len(sys.argv) > 3 else "a")
extract.extract_features(slide, encoder, spots, TileSpec(size_px=32), folder, "key")
end()
"""

FLAT = """
slide = open_slide(place / "large.jpg", 0.5)
begin()
rng = np.random.default_rng(0)
for x, y in rng.integers(0, 7500, (300, 2)):
    slide.read((x, y), (224, 224), 0.5)
end()
"""


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("slides")
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    Image.fromarray(np.tile(noise, (9, 6, 1))).save(place / "s.png", compress_level=1)
    Image.fromarray(np.tile(noise, (16, 16, 1))).save(place / "large.jpg", quality=50)
    return place


def test_a_map_keeps_to_it(measure: Measure, slides: Path) -> None:
    code = MAP.replace("GENES", "500")
    free, held = (measure(code, 230, limited=limited, place=slides) for limited in (False, True))
    assert held["peak"] < held["limit"]
    assert free["peak"] > free["limit"]
    assert files(slides / "a") == files(slides / "b")


def test_processing_keeps_to_it(measure: Measure, slides: Path, tmp_path: Path) -> None:
    (tmp_path / "s.png").symlink_to(slides / "s.png")
    free, held = (measure(PROCESS, 224, limited=limited) for limited in (False, True))
    assert held["peak"] < held["limit"]
    assert free["peak"] > free["limit"]
    for name in ("tile_features.npy", "stain_features.npy", "patch_features.npy"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_large_image_without_a_pyramid_is_held_on_disk(measure: Measure, slides: Path) -> None:
    decoded = measure(FLAT, 120, limited=False, place=slides)
    assert decoded["peak"] < decoded["limit"]  # decoded it takes 192 MB


def files(folder: Path) -> dict[str, bytes]:
    """All files of a map by name, without the time of its making."""
    found = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    root = json.loads(found["zarr.json"])
    del root["attributes"]["miso"]["provenance"]["written"]
    return {**found, "zarr.json": json.dumps(root).encode()}
