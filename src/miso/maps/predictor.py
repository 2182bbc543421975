"""Trained models put to use: one checkpoint, or the mean over the folds of a run."""

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import anndata
import numpy as np
import pandas as pd
import torch

from miso.encoders import Encoder
from miso.errors import CheckpointError
from miso.launch.provenance import fingerprint
from miso.maps.as_trained import encoder_as_trained, slide_in_cohort, stained_as_trained
from miso.maps.ensemble import Ensemble
from miso.maps.expression_map import ExpressionMap
from miso.maps.fit import check_encoder, check_sample, stain_name
from miso.maps.predicted import as_anndata
from miso.maps.spots import pooled_patches
from miso.maps.super_resolve import super_resolve
from miso.maps.unseen import all_residuals, of_same_patient, trained_on, without_slide
from miso.models import Checkpoint
from miso.models.calibration import LEVEL, Calibration, calibrate, half_width
from miso.models.reliability import untested
from miso.samples import Sample
from miso.samples.sample import slide_fingerprint
from miso.slides import Slide

log = logging.getLogger(__name__)


class Predictor(Ensemble):
    """Predicts with one or several checkpoints of one kind; the mean of several is taken.

    A section of the run's own cohort is predicted only by the checkpoints that held it out.

    Attributes
    ----------
    source
        Where the models come from: a path, or `hf:owner/model@commit`.
    reliability
        A row a gene: cross-validated r, and the grade that follows from it (see `miso.models.reliability`).
    residuals
        What was missed on sections held out; of a slide of the cohort without those of its own patient.
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
        super().__init__(checkpoints, path)
        self.in_sample = in_sample
        self.source = source or str(path.resolve())
        self.reliability = untested(self.genes) if reliability is None else reliability
        self.residuals = all_residuals(self.checkpoints)

    def for_slide(self, print_of: str, *, in_sample: bool = False) -> "Predictor":
        """Keep the checkpoints that may speak of a slide: all, or of a slide of the cohort those without it.

        `print_of` is the fingerprint of the slide's file.

        Raises
        ------
        CheckpointError
            If every checkpoint has seen the slide, unless `in_sample` says that this is meant; what comes of
            it is then marked.
        """
        known = slide_in_cohort(self.first, print_of)
        if known is None:
            return self
        honest = without_slide(self.checkpoints, print_of)
        if not honest and not in_sample:
            raise CheckpointError(
                f"every fold of {self.path} has seen this section, so a prediction would be too good to be "
                "true; pass --in-sample (in_sample=True) if that is what you want"
            )
        speaking = Predictor(
            honest or self.checkpoints,
            self.path,
            in_sample=not honest,
            reliability=self.reliability,
            source=self.source,
        )
        speaking.residuals = self.residuals and self.residuals.without(of_same_patient(self.first, known[0]))
        return speaking

    @property
    def grades(self) -> dict[str, str]:
        """Each gene's grade, A to D or "untested" (see `miso.models.reliability`)."""
        return dict(zip(self.genes, map(str, self._genes()["grade"]), strict=True))

    @cached_property
    def calibration(self) -> Calibration | None:
        """Intervals about predictions of spots, from `residuals`; None where these are too few."""
        found = calibrate(self.residuals, self.genes)
        if found is None:
            log.info("%s: too few spots were held out to say how wide intervals are", self.path)
        return found

    def predict(self, sample: Sample, *, in_sample: bool = False, picture: bool = True) -> anndata.AnnData:
        """Predict a Sample's spots: `X` spot × gene, `obsm["spatial"]`, units in `uns["miso"]`.

        `uns["spatial"]` is what scanpy and squidpy plot from, with a small picture of the slide if that is
        where it was, unless `picture` is False.

        `var` holds each gene's cross-validated r (`r_cv`, NaN where none is known), what noise in the counts
        allows (`ceiling`, the same), and the `grade` that follows. `layers["half_width"]` is half the width
        of intervals that cover 90 % of measured values, where enough spots were held out to know it.

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
        if self.is_student:
            values = pooled_patches(self, sample)
        else:
            lists = sample.neighbors(self.first.knn)
            values = self.predict_features(sample.adata.obsm["tile_features"], lists)
        about = {"units": self.units, **self.provenance()}
        adata = as_anndata(sample, values, self._genes(), about, picture=picture)
        if self.calibration is not None:
            adata.layers["half_width"] = half_width(self.calibration, values, slice(None))
            known = {"spots": self.calibration.spots, "sections": self.calibration.sections}
            adata.uns["miso"]["interval"] = {"level": LEVEL, **known}
        return adata

    @overload
    def super_resolve(
        self,
        slide: Slide,
        out: Path | str,
        encoder: Encoder | None = None,
        *,
        in_sample: bool = False,
        band: None = None,
        **options: Any,
    ) -> ExpressionMap: ...
    @overload
    def super_resolve(
        self,
        slide: Slide,
        out: Path | str,
        encoder: Encoder | None = None,
        *,
        in_sample: bool = False,
        band: tuple[int, int],
        **options: Any,
    ) -> ExpressionMap | None: ...
    def super_resolve(
        self,
        slide: Slide,
        out: Path | str,
        encoder: Encoder | None = None,
        *,
        in_sample: bool = False,
        band: tuple[int, int] | None = None,
        **options: Any,
    ) -> ExpressionMap | None:
        """Map a slide with students; see `miso.maps.super_resolve` for the options.

        A `band` (index, count) is part of a map that several processes make; it returns None while others
        are not finished.

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
            band=band,
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
            "trained_on": trained_on(self.checkpoints),
        }

    def _genes(self) -> pd.DataFrame:
        known = self.reliability[["r_cv", "ceiling", "grade"]].reindex(list(self.genes))
        return known.set_axis(pd.Index(self.genes, dtype=str))
