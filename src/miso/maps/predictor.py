"""Trained models put to use: one checkpoint, or the mean over the folds of a run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from miso.encoders import Encoder
from miso.errors import CheckpointError
from miso.geometry import TileSpec
from miso.launch.provenance import fingerprint
from miso.maps.as_trained import encoder_as_trained, held_out, slide_in_cohort, stained_as_trained
from miso.maps.expression_map import ExpressionMap
from miso.maps.fit import (
    check_alike,
    check_encoder,
    check_features,
    check_neighbors,
    check_sample,
    stain_name,
)
from miso.maps.predicted import as_anndata
from miso.maps.super_resolve import super_resolve
from miso.models import Checkpoint, MisoModel, PatchModel
from miso.models.reliability import untested
from miso.models.standardize import FeatureReference
from miso.samples import Sample
from miso.samples.sample import slide_fingerprint
from miso.slides import Slide

BATCH = 32
"""Tiles whose patches are predicted at a time."""
Features = Float[NDArray[np.float32], "tile patch dim"]


class Predictor:
    """Predicts with one or several checkpoints of one kind; the mean of several is taken.

    A section of the run's own cohort is predicted only by the checkpoints that held it out.

    Attributes
    ----------
    source
        Where the models come from: a path, or `hf:owner/model@commit`.
    reliability
        A row a gene: cross-validated r, and the grade that follows from it (see `miso.models.reliability`).
    """

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        path: Path,
        *,
        in_sample: bool = False,
        reliability: pd.DataFrame | None = None,
        source: str | None = None,
    ) -> None:
        check_alike(checkpoints, path)
        self.checkpoints, self.path, self.in_sample = list(checkpoints), path, in_sample
        self.first = self.checkpoints[0]
        self.source = source or str(path.resolve())
        self.reliability = untested(self.genes) if reliability is None else reliability

    def for_slide(self, print_of: str, *, in_sample: bool = False) -> "Predictor":
        """Keep the checkpoints that may speak of a slide: all, or of a slide of the cohort those without it.

        `print_of` is the fingerprint of the slide's file.

        Raises
        ------
        CheckpointError
            If every checkpoint has seen the slide, unless `in_sample` says that this is meant; what comes of
            it is then marked.
        """
        if slide_in_cohort(self.first, print_of) is None:
            return self
        honest = [c for c in self.checkpoints if held_out(c, print_of)]
        if not honest and not in_sample:
            raise CheckpointError(
                f"every fold of {self.path} has seen this section, so a prediction would be too good to be "
                "true; pass --in-sample (in_sample=True) if that is what you want"
            )
        return Predictor(
            honest or self.checkpoints,
            self.path,
            in_sample=not honest,
            reliability=self.reliability,
            source=self.source,
        )

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
        if not self.is_student:
            check_features(self.first, np.asarray(tile_features), ["spot"])
            check_neighbors(np.asarray(neighbors), len(tile_features))
        features = torch.from_numpy(np.ascontiguousarray(tile_features, dtype=np.float32))
        lists = torch.from_numpy(np.ascontiguousarray(neighbors, dtype=np.int64))

        def run(checkpoint: Checkpoint) -> torch.Tensor:
            if not isinstance(checkpoint.model, MisoModel):
                raise CheckpointError(
                    f"{self.path} holds students, which predict patches; use predict_patches"
                )
            values: torch.Tensor = checkpoint.model(features, lists)
            return values.clamp(min=0) if checkpoint.nonnegative else values

        return self._mean(run)

    def reference(self, patch_features: Features) -> FeatureReference:
        """Sum up a slide's patch features, which predictions on that slide are measured against."""
        return FeatureReference.of(torch.from_numpy(patch_features))

    def predict_patches(
        self, patch_features: Features, reference: FeatureReference | None = None
    ) -> Float[NDArray[np.float32], "tile patch gene"]:
        """Predict every patch with students.

        Without a `reference` the slide's statistics are taken from the features given.

        Raises
        ------
        CheckpointError
            If the run holds teachers, or the features are of another length.
        """
        if self.is_student:
            check_features(self.first, np.asarray(patch_features), ["…"])
        features = torch.from_numpy(np.ascontiguousarray(patch_features, dtype=np.float32))

        def run(checkpoint: Checkpoint) -> torch.Tensor:
            if not isinstance(checkpoint.model, PatchModel):
                raise CheckpointError(
                    f"{self.path} holds teachers, which predict spots; distil a student first "
                    "(miso generate-distillation-labels, then miso train --config-name distil)"
                )
            values: torch.Tensor = checkpoint.model(features, reference)
            return values

        return self._mean(run)

    def predict(self, sample: Sample, *, in_sample: bool = False, picture: bool = True) -> anndata.AnnData:
        """Predict a Sample's spots: `X` spot × gene, `obsm["spatial"]`, units in `uns["miso"]`.

        `uns["spatial"]` is what scanpy and squidpy plot from, with a small picture of the slide if that is
        where it was, unless `picture` is False.

        `var` holds each gene's cross-validated r (`r_cv`, NaN where none is known), what noise in the counts
        allows (`ceiling`, the same), and the `grade` that follows.

        Raises
        ------
        CheckpointError
            If the Sample was processed otherwise than the training data, or every checkpoint has seen it (see
            `for_slide`).
        """
        speaking = self.for_slide(slide_fingerprint(sample), in_sample=in_sample)
        return speaking._predict(sample, picture=picture)

    def _predict(self, sample: Sample, *, picture: bool) -> anndata.AnnData:
        check_sample(self.first, sample)
        model = self.first.model
        values = (
            self._student_spots(model, sample)
            if isinstance(model, PatchModel)
            else self._teacher_spots(sample)
        )
        about = {"units": self.units, **self.provenance()}
        return as_anndata(sample, values, self._genes(), about, picture=picture)

    def super_resolve(
        self,
        slide: Slide,
        out: Path | str,
        encoder: Encoder | None = None,
        *,
        in_sample: bool = False,
        **options: Any,
    ) -> ExpressionMap:
        """Map a slide with students; see `miso.maps.super_resolve` for the options.

        Raises
        ------
        CheckpointError
            If the run holds teachers, the encoder is another one, or every checkpoint has seen the slide (see
            `for_slide`).
        """
        if not self.is_student:
            self.predict_patches(np.zeros((1, 1, 1), dtype=np.float32))  # says what to do
        encoder = encoder or self.load_encoder()
        check_encoder(self.first, encoder)
        speaking = self.for_slide(fingerprint(slide.path), in_sample=in_sample)
        return super_resolve(
            stained_as_trained(slide, self.first),
            encoder,
            speaking,
            out,
            tile=self.tile,
            provenance=speaking.provenance(),
            **options,
        )

    def load_encoder(self, device: torch.device | str = "cpu") -> Encoder:
        """Load the encoder that the run was trained on, in the precision that its features had."""
        return encoder_as_trained(self.first, device)

    def provenance(self) -> dict[str, Any]:
        """Say which checkpoints speak, and what they were trained on."""
        return {
            "run": self.source,
            "checkpoints": len(self.checkpoints),
            "in_sample": self.in_sample,
            "target": self.first.target,
            "encoder": self.first.encoder,
            "stain": stain_name(self.first.stain),
            "trained_on": sorted(
                {name for c in self.checkpoints for name in (*c.trained_on, *c.validated_on)}
            ),
        }

    def _genes(self) -> pd.DataFrame:
        known = self.reliability[["r_cv", "ceiling", "grade"]].reindex(list(self.genes))
        return known.set_axis(pd.Index(self.genes, dtype=str))

    @torch.inference_mode()
    def _mean(self, run: Callable[[Checkpoint], torch.Tensor]) -> NDArray[np.float32]:
        total = run(self.first)
        for checkpoint in self.checkpoints[1:]:
            total = total + run(checkpoint)
        return np.asarray((total / len(self.checkpoints)).numpy())

    def _teacher_spots(self, sample: Sample) -> Float[NDArray[np.float32], "spot gene"]:
        return self.predict_features(sample.adata.obsm["tile_features"], sample.neighbors(self.first.knn))

    def _student_spots(self, model: PatchModel, sample: Sample) -> Float[NDArray[np.float32], "spot gene"]:
        weights = model.config.weights(sample.grid, sample.spot_diameter_um, square=sample.square_spots)
        patches = sample.patch_features
        reference, parts = FeatureReference.of_section(patches), []
        for start in range(0, len(patches), BATCH):
            features = np.asarray(patches[start : start + BATCH], dtype=np.float32)
            parts.append(weights @ self.predict_patches(features, reference))  # (spot, gene)
        return np.concatenate(parts)
