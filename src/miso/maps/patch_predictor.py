"""What makes a map must predict patches, and sum up a slide so that its stain can be undone."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.models.calibration import Calibration

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

    @property
    def grades(self) -> Mapping[str, str]:
        """How far cross-validation bears each gene out; empty if unknown."""

    @property
    def calibration(self) -> Calibration | None:
        """How wide intervals about predictions of spots are, if known."""

    def reference(self, patch_features: PatchFeatures) -> Reference:
        """Sum up a slide from the patch features of tiles spread over its tissue."""

    def predict_patches(
        self,
        patch_features: PatchFeatures,
        reference: Reference | None = None,
        genes: Sequence[str] | None = None,
    ) -> PatchValues:
        """Predict every patch of some tiles of the slide that the reference sums up; None asks all genes."""

    def moments(
        self,
        patch_features: PatchFeatures,
        reference: Reference | None = None,
        genes: Sequence[str] | None = None,
    ) -> tuple[PatchValues, PatchValues]:
        """Return the mean over models, which is what `predict_patches` says, and the variance between them.

        The variance is unbiased, in units squared, and 0 where there is a single model.
        """

    def novelty(
        self, patch_features: PatchFeatures, reference: Reference | None = None
    ) -> Float[NDArray[np.float32], " tile"]:
        """Distance of each tile to the training tiles: 1 of 100 unseen ones is beyond 1; NaN if unknown."""

    def novelty_of_slide(self, reference: Reference) -> float:
        """Distance of a slide to the training slides: beyond 1 it is farther than any was; NaN if unknown."""
