"""Predictions of a Sample's spots: by teachers from whole tiles, by students as means over patches."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.maps.patch_predictor import PatchPredictor
from miso.models import Checkpoint, PatchModel
from miso.models.standardize import FeatureReference
from miso.samples import Sample

BATCH = 32
"""Tiles whose patches are predicted at a time."""


def pooled_patches(
    predictor: PatchPredictor[FeatureReference], checkpoint: Checkpoint, sample: Sample
) -> Float[NDArray[np.float32], "spot gene"]:
    """Predict the patches of each spot, and pool them as the checkpoint's student does."""
    assert isinstance(checkpoint.model, PatchModel)
    weights = checkpoint.model.config.weights(
        sample.grid, sample.spot_diameter_um, square=sample.square_spots
    )
    patches = sample.patch_features
    reference, parts = FeatureReference.of_section(patches), []
    for start in range(0, len(patches), BATCH):
        features = np.asarray(patches[start : start + BATCH], dtype=np.float32)
        parts.append(weights @ predictor.predict_patches(features, reference))  # (spot, gene)
    return np.concatenate(parts)
