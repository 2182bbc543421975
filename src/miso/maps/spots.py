"""Predictions of a Sample's spots by students: means over patches."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.maps.ensemble import Ensemble
from miso.models import PatchModel
from miso.models.standardize import FeatureReference
from miso.samples import Sample

BATCH = 32
"""Tiles whose patches are predicted at a time."""


def pooled_patches(students: Ensemble, sample: Sample) -> Float[NDArray[np.float32], "spot gene"]:
    """Predict each spot from its patches, pooled as the students do; the mean over students."""
    model = students.first.model
    assert isinstance(model, PatchModel)
    weights = model.config.weights(sample.grid, sample.spot_diameter_um, square=sample.square_spots)
    patches = sample.patch_features
    reference, parts = FeatureReference.of_section(patches), []
    for start in range(0, len(patches), BATCH):
        features = np.asarray(patches[start : start + BATCH], dtype=np.float32)
        parts.append(students.predict_pooled(features, weights, reference))
    return np.concatenate(parts)
