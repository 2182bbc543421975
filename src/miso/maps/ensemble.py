"""Several models of one kind that speak together: their mean, the variance between them, and novelty."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from miso.errors import CheckpointError
from miso.geometry import TileSpec
from miso.maps.fit import check_alike, check_features, check_neighbors
from miso.maps.patch_predictor import PatchValues
from miso.models import Checkpoint, PatchModel
from miso.models.novelty import summed_up
from miso.models.standardize import FeatureReference
from miso.registry import unknown

Values = Float[NDArray[np.float32], "*n gene"]
Features = Float[NDArray[np.float32], "tile patch dim"]
Run = Callable[[Checkpoint], torch.Tensor]


class Ensemble:
    """One or several checkpoints of one kind, as bare models; `path` is where they come from."""

    def __init__(self, checkpoints: Sequence[Checkpoint], path: Path) -> None:
        check_alike(checkpoints, path)
        self.checkpoints, self.path = list(checkpoints), path
        self.first = self.checkpoints[0]

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes, in the order of a prediction's last axis."""
        return tuple(self.first.genes)

    @property
    def units(self) -> str:
        """Units of a prediction."""
        return self.first.units

    @property
    def is_student(self) -> bool:
        """Whether it predicts patches, rather than spots."""
        return self.first.kind == "patch"

    @property
    def tile(self) -> TileSpec:
        """The tile that the encoder was shown in training."""
        return TileSpec(size_px=int(self.first.tile["size_px"]), mpp=self.first.tile["mpp"])

    def predict_features(
        self,
        tile_features: Float[NDArray[np.float32], "spot dim"],
        neighbors: Int[NDArray[np.int64], "spot k"],
    ) -> Float[NDArray[np.float32], "spot gene"]:
        """Predict all spots of one section with teachers; the features of the section are scaled together.

        Raises
        ------
        CheckpointError
            If the run holds students, the features are of another length, or a neighbour is no spot.
        """
        if self.is_student:
            raise CheckpointError(f"{self.path} holds students, which predict patches; use predict_patches")
        check_features(self.first, np.asarray(tile_features), ["spot"])
        check_neighbors(np.asarray(neighbors), len(tile_features))
        features = torch.from_numpy(np.ascontiguousarray(tile_features, dtype=np.float32))
        lists = torch.from_numpy(np.ascontiguousarray(neighbors, dtype=np.int64))

        def run(checkpoint: Checkpoint) -> torch.Tensor:
            values: torch.Tensor = checkpoint.model(features, lists)
            return values.clamp(min=0) if checkpoint.nonnegative else values

        return mean_over(self.checkpoints, run)

    def reference(self, patch_features: Features) -> FeatureReference:
        """Sum up a slide's patch features, which predictions on that slide are measured against."""
        return FeatureReference.of(torch.from_numpy(patch_features))

    def predict_patches(
        self,
        patch_features: Features,
        reference: FeatureReference | None = None,
        genes: Sequence[str] | None = None,
    ) -> PatchValues:
        """Predict every patch with students.

        Without a `reference` the slide's statistics are taken from the features given; without `genes`, all
        are predicted.

        Raises
        ------
        CheckpointError
            If the run holds teachers, the features are of another length, or a gene is unknown.
        """
        return mean_over(self.checkpoints, self._patches(patch_features, reference, genes))

    def predict_pooled(
        self,
        patch_features: Features,
        weights: Float[NDArray[np.float32], " patch"],
        reference: FeatureReference,
    ) -> Float[NDArray[np.float32], "tile gene"]:
        """Predict the weighted mean over each tile's patches with students; the weights sum to 1."""
        features, share = self._checked(patch_features), torch.from_numpy(weights)

        return mean_over(self.checkpoints, lambda c: _patch_model(c).spots(features, share, reference))

    def moments(
        self,
        patch_features: Features,
        reference: FeatureReference | None = None,
        genes: Sequence[str] | None = None,
    ) -> tuple[PatchValues, PatchValues]:
        """Return the students' mean, which is what `predict_patches` says, and the variance between them.

        The variance is unbiased, in units squared, and 0 where one student speaks.
        """
        return moments_over(self.checkpoints, self._patches(patch_features, reference, genes))

    def novelty(
        self, patch_features: Features, reference: FeatureReference | None = None
    ) -> Float[NDArray[np.float32], " tile"]:
        """Return how far each tile lies from the training tiles: the mean over models; NaN if none knows.

        It is relative to what one in a hundred tiles of a patient left out exceeds: beyond 1 a tile is unlike
        what the models have learnt from (see `miso.models.novelty`).
        """
        known = [checkpoint.novelty for checkpoint in self.checkpoints if checkpoint.novelty is not None]
        if not known:
            return np.full(len(patch_features), np.nan, dtype=np.float32)
        tiles = summed_up(patch_features, reference or self.reference(patch_features))
        return np.asarray(np.mean([each.of_tiles(tiles) for each in known], axis=0, dtype=np.float32))

    def novelty_of_slide(self, reference: FeatureReference) -> float:
        """Return how far a slide lies from the training slides: the mean over models; NaN if none knows.

        Beyond 1 it is farther than any training slide was from the others.
        """
        known = [c.novelty.of_slide(reference) for c in self.checkpoints if c.novelty is not None]
        return float(np.mean(known)) if known else float("nan")

    def _patches(
        self, patch_features: Features, reference: FeatureReference | None, genes: Sequence[str] | None
    ) -> Run:
        features = self._checked(patch_features)
        if genes is None:
            return lambda checkpoint: checkpoint.model(features, reference)
        for gene in genes:
            if gene not in self.genes:
                raise CheckpointError(unknown("gene", gene, list(self.genes)))
        index = torch.tensor([self.genes.index(gene) for gene in genes])
        return lambda checkpoint: _patch_model(checkpoint)(features, reference, index)

    def _checked(self, patch_features: Features) -> torch.Tensor:
        if not self.is_student:
            raise CheckpointError(
                f"{self.path} holds teachers, which predict spots; distil a student first "
                "(miso generate-distillation-labels, then miso train --config-name distil)"
            )
        check_features(self.first, np.asarray(patch_features), ["…"])
        return torch.from_numpy(np.ascontiguousarray(patch_features, dtype=np.float32))


def _patch_model(checkpoint: Checkpoint) -> PatchModel:
    assert isinstance(checkpoint.model, PatchModel)
    return checkpoint.model


@torch.inference_mode()
def mean_over(checkpoints: Sequence[Checkpoint], run: Run) -> Values:
    """Return the mean of what they predict."""
    total = run(checkpoints[0])
    for checkpoint in checkpoints[1:]:
        total = total + run(checkpoint)
    return np.asarray((total / len(checkpoints)).numpy())


@torch.inference_mode()
def moments_over(checkpoints: Sequence[Checkpoint], run: Run) -> tuple[Values, Values]:
    """Return the mean, which is bitwise that of `mean_over`, and the unbiased variance; 0 of a single one.

    Three arrays are held, however many checkpoints there are.
    """
    first = run(checkpoints[0])
    total, away, squared = first.clone(), torch.zeros_like(first), torch.zeros_like(first)
    for checkpoint in checkpoints[1:]:
        values = run(checkpoint)
        total += values
        values = values - first  # shifted, since squares of large numbers would cancel
        away += values
        squared += values.square_()
    n = len(checkpoints)
    variance = ((squared - away.square() / n) / max(n - 1, 1)).clamp_(min=0)
    return np.asarray((total / n).numpy()), np.asarray(variance.numpy())
