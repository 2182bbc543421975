"""What makes a map must predict patches, and sum up a slide so that its stain can be undone."""

from typing import Protocol, TypeVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Reference = TypeVar("Reference")
PatchFeatures = Float[NDArray[np.float32], "tile patch dim"]
PatchValues = Float[NDArray[np.float32], "tile patch gene"]


class PatchPredictor(Protocol[Reference]):
    """Predicts genes from patch features; `Reference` is whatever it needs to know of a slide as a whole."""

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes, in the order of a prediction's last axis."""

    @property
    def units(self) -> str:
        """Units of a prediction."""

    def reference(self, patch_features: PatchFeatures) -> Reference:
        """Sum up a slide from the patch features of tiles spread over its tissue."""

    def predict_patches(
        self, patch_features: PatchFeatures, reference: Reference | None = None
    ) -> PatchValues:
        """Predict every patch of some tiles of the slide that the reference sums up."""
