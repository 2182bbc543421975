"""LazySlide runs a teacher on the features of its tiles, and gets what the teacher itself says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from miso.encoders.extras import import_timm
from miso.errors import CheckpointError
from miso.maps import Predictor
from miso.maps.lazyslide import LazySlideModel
from miso.models import Checkpoint, MisoConfig, MisoModel, PatchConfig, PatchModel
from miso.models.attention import NetworkConfig
from miso.samples.neighbors import nearest_spots

DIM, GENES = 6, ["ERBB2", "KRT8"]


@pytest.fixture
def predictor() -> Callable[..., Predictor]:
    def make(kind: str = "miso", encoder: str = "phikon@abc") -> Predictor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            network = NetworkConfig(embed_dim=8, attention_dim=8, heads=2)
            teacher = MisoModel(DIM, 2, MisoConfig(network=network, members=1, linear=False, attend=5))
            student = PatchModel(DIM, 2, PatchConfig(hidden=(4,), factors=2))
        made = Checkpoint(
            model=(student if kind == "patch" else teacher).eval(),
            kind=kind,
            genes=GENES,
            target="raw",
            units="counts per spot",
            nonnegative=True,
            encoder=encoder,
            tile={"size_px": 224, "mpp": 0.5},
            patch_px=112,
            knn=5,
            spot_diameter_um=55.0,
            trained_on=[],
            validated_on=[],
            held_out=[],
        )
        return Predictor([made], Path("run"))

    return make


@dataclass
class Spec:
    width: int = 224
    height: int = 224
    mpp: float = 0.5


@dataclass
class Wsi:
    spec: Spec

    def tile_spec(self, tile_key: str) -> Spec:
        return self.spec


def test_tiles_are_predicted_with_their_nearest_tiles(predictor: Callable[..., Predictor]) -> None:
    rng = np.random.default_rng(2)
    features = rng.random((20, DIM)).astype(np.float32)
    origins = rng.random((20, 2)) * 5000
    found = LazySlideModel(predictor()).predict(features, origins)
    expected = predictor().predict_features(features, nearest_spots(origins, 5))
    assert list(found) == GENES
    np.testing.assert_array_equal(np.stack(list(found.values()), axis=1), expected)
    assert expected.std() > 0


def test_what_lazyslide_cannot_give_is_refused(predictor: Callable[..., Predictor]) -> None:
    with pytest.raises(CheckpointError, match="holds students"):
        LazySlideModel(predictor("patch"))
    model = LazySlideModel(predictor())
    with pytest.raises(CheckpointError, match="without their places"):
        model.predict(np.ones((3, DIM), np.float32))
    with pytest.raises(CheckpointError, match="takes the 6 numbers"):
        model.predict(np.ones((3, 7), np.float32), np.ones((3, 2)))


@pytest.mark.parametrize("spec", [Spec(mpp=0.25), Spec(width=256, height=256), Spec(height=112)])
def test_tiles_that_are_cut_otherwise_are_refused(spec: Spec, predictor: Callable[..., Predictor]) -> None:
    model = LazySlideModel(predictor())
    model.check_tiles(Wsi(Spec(mpp=0.502)))
    with pytest.raises(
        CheckpointError, match=r"cut them with lazyslide\.pp\.tile_tissues\(wsi, 224, mpp=0.5\)"
    ):
        model.check_tiles(Wsi(spec))


@pytest.mark.parametrize(
    ("encoder", "name"), [("phikon@abc", "phikon"), ("uni2-h:/f@sha256:1", "uni2"), ("h0-mini", "h0-mini")]
)
def test_features_go_by_lazyslides_name(encoder: str, name: str, predictor: Callable[..., Predictor]) -> None:
    assert LazySlideModel(predictor(encoder=encoder)).features_model_name == name


@pytest.fixture
def lazyslide() -> Any:
    """The real package; it imports timm, which imports torchvision, which our stand-ins replace."""
    try:
        import_timm()
    except ImportError:
        pytest.skip("timm is not installed")
    return pytest.importorskip("lazyslide", reason="lazyslide is not installed", exc_type=ImportError)


@pytest.mark.filterwarnings("ignore")  # whatever the real package and its dependencies say
def test_the_real_lazyslide_runs_it(
    lazyslide: Any, predictor: Callable[..., Predictor], tmp_path: Path
) -> None:
    import pyvips
    from lazyslide_models.base import FeaturePredictionModelProtocol
    from wsidata.io import add_features

    pixels = np.random.default_rng(1).integers(255, size=(2240, 1120, 3), dtype=np.uint8)
    picture = pyvips.Image.new_from_array(pixels)
    per_cm = 1000 / 0.5
    picture.tiffsave(str(tmp_path / "s.tif"), tile=True, pyramid=True, xres=per_cm, yres=per_cm, resunit="cm")
    wsi = lazyslide.open_wsi(str(tmp_path / "s.tif"), store=str(tmp_path / "s.zarr"))
    lazyslide.pp.tile_tissues(wsi, 224, mpp=0.5, tissue_key=None, background_filter=False)
    tiles = wsi.shapes["tiles"]
    features = np.random.default_rng(2).random((len(tiles), DIM)).astype(np.float32)
    add_features(wsi, "phikon_tiles", "tiles", features)

    model = LazySlideModel(predictor())
    assert isinstance(model, FeaturePredictionModelProtocol)
    model.check_tiles(wsi)
    lazyslide.tl.feature_prediction(wsi, model, device="cpu", pbar=False)

    table = wsi.tables["miso_tiles"]
    origins = tiles.bounds[["minx", "miny"]].to_numpy()
    expected = predictor().predict_features(features, nearest_spots(origins, 5))
    assert len(tiles) > 30
    assert list(table.var_names) == GENES
    np.testing.assert_allclose(np.asarray(table.X), expected, rtol=1e-5, atol=1e-6)
