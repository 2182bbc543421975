"""A teacher as a feature-prediction model of LazySlide: its tiles' features in, a table of genes out.

LazySlide asks for methods, not for a base class, so nothing of it is imported here.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import CheckpointError
from miso.maps.fit import TOLERANCE, tile_in_words
from miso.maps.predictor import Predictor
from miso.models.encoder_id import name_and_revision
from miso.samples.neighbors import nearest_spots

NAMES = {"phikon-v2": "phikonv2", "uni2-h": "uni2"}
"""LazySlide's names of encoders that are called otherwise here."""


class LazySlideModel:
    """What `lazyslide.tl.feature_prediction(wsi, model)` takes.

    A tile stands for a spot: its neighbours are the nearest tiles. So tiles have to be those of training
    (same encoder, side and µm per pixel; `check_tiles` looks), and about as far apart as its spots were.

    Attributes
    ----------
    name
        Of the model; the table is called `<name>_tiles`.
    features_model_name
        LazySlide's name of the encoder.
    needs_coords, whole_slide
        All tiles are asked for at once, with their origins in level-0 px.
    """

    needs_coords = True
    whole_slide = True

    def __init__(self, predictor: Predictor, name: str = "miso") -> None:
        if predictor.is_student:
            raise CheckpointError(
                f"{predictor.path} holds students, which predict patches; LazySlide keeps features of tiles, "
                "so pass the teachers' run, or map the slide with miso super-resolve"
            )
        encoder = name_and_revision(predictor.first.encoder)[0].partition(":")[0]
        self.predictor, self.name = predictor, name
        self.features_model_name = NAMES.get(encoder, encoder)
        self.model = torch.nn.ModuleList(checkpoint.model for checkpoint in predictor.checkpoints)

    def predict(
        self,
        features: Float[NDArray[np.float32], "tile dim"],
        coords: Float[NDArray[np.float64], "tile 2"] | None = None,
    ) -> dict[str, Float[NDArray[np.float32], " tile"]]:
        """Predict all tiles of a slide; `coords` are their origins.

        Raises
        ------
        CheckpointError
            If the features are of another length, or come without coordinates.
        """
        if coords is None or len(coords) != len(features):
            raise CheckpointError("tiles come without their places; give an origin (x, y) for each")
        dense = np.asarray(features.toarray() if hasattr(features, "toarray") else features, dtype=np.float32)
        lists = nearest_spots(np.asarray(coords, dtype=np.float64), self.predictor.first.knn)
        values = self.predictor.predict_features(dense, lists)
        return dict(zip(self.predictor.genes, values.T, strict=True))

    def check_tiles(self, wsi: Any, tile_key: str = "tiles") -> None:
        """Refuse tiles that are not cut as in training.

        Raises
        ------
        CheckpointError
            If their side or their µm per pixel differ.
        """
        spec = wsi.tile_spec(tile_key)
        if spec is None or spec.mpp is None:
            raise CheckpointError(
                f"the tiles {tile_key!r} do not say their µm per pixel; cut them with mpp=…"
            )
        found = {"size_px": spec.width, "mpp": spec.mpp}
        wanted = self.predictor.first.tile
        low, high = sorted((spec.mpp, wanted["mpp"]))
        if (spec.width, spec.height) != (wanted["size_px"], wanted["size_px"]) or high > TOLERANCE * low:
            raise CheckpointError(
                f"the tiles {tile_key!r} are {tile_in_words(found)}, the model's {tile_in_words(wanted)}; "
                f"cut them with lazyslide.pp.tile_tissues(wsi, {wanted['size_px']:g}, mpp={wanted['mpp']:g})"
            )

    def to(self, device: object) -> Self:
        """Stay on the CPU, where predictions are made; LazySlide asks for it."""
        return self

    def get_transform(self) -> Callable[..., Any] | None:
        """Return None: features need no transform."""
        return None

    def try_compile(self, **options: object) -> None:
        """Compile nothing."""
