"""A phantom section's truth below its spots on cells of 8 µm, and the scores of what a method says of it."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from miso.geometry import Points
from miso.models.standardize import FeatureReference
from miso.phantom import open_truth
from miso.phantom.expression import spot_shares
from miso.phantom.score import between_spots, cells_under_spots, within_spot_r
from miso.samples import Cohort, Sample
from miso.samples.targets import target_values
from miso.scores.correlation import spearman
from miso.scores.distance import rmse_minmax
from miso.scores.metrics import Measured, pearson
from miso.scores.picture import picture_ssim
from miso.slides import open_slide
from miso.slides.tissue import tissue_mask
from miso.training.student import PatchSection

Planes = Float[NDArray[np.float32], "gene row col"]
Spots = Float[NDArray[np.float32], "spot gene"]
PerGene = Float[NDArray[np.float64], " gene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a method says of a section: a picture of each gene on the truth's raster, and its spots."""

    planes: Planes
    spots: Spots


class Below:
    """A section, its truth, and the places where they are compared.

    Attributes
    ----------
    measured
        Counts, spot × gene.
    visible
        Genes that follow from what the slide shows; of the others nothing should be seen.
    tissue
        Cells of which at least half is tissue.
    """

    def __init__(self, sample: Sample, cohort: Cohort, truths: Path) -> None:
        self.sample, self.truth = sample, open_truth(truths / f"{sample.name}.npz")
        self.genes = cohort.genes
        self.measured = target_values(sample, cohort.target, cohort.genes)
        self._columns = [self.truth.genes.index(gene) for gene in cohort.genes]
        self.visible: Bool[NDArray[np.bool_], " gene"] = self.truth.visible[self._columns]
        self.tissue = self.truth.tissue >= 0.5

    @property
    def spots_xy(self) -> Points:
        """Centres of spots, in level-0 pixels."""
        return np.asarray(self.sample.adata.obsm["spatial"], dtype=np.float64)

    @property
    def diameter_px(self) -> float:
        """Diameter of a spot in level-0 pixels."""
        return self.sample.spot_diameter_um / self.sample.mpp

    @property
    def gaps_xy(self) -> Points:
        """Centres of discs of a spot's size between spots, on tissue."""
        gaps = between_spots(
            self.spots_xy, self.sample.manifest["pitch_um"] / self.sample.mpp, self.diameter_px
        )
        return gaps[self.truth.tissue_under(gaps, self.sample.spot_diameter_um) >= 0.5]

    @cached_property
    def detected(self) -> Bool[NDArray[np.bool_], "row col"]:
        """Cells that `miso super-resolve` takes for tissue."""
        with open_slide(Path(self.sample.manifest["slide"]["path"]), self.sample.mpp) as slide:
            return tissue_mask(slide).cells(self.truth.raster)

    @property
    def cells_xy(self) -> Points:
        """Centres of all cells, row-major, in level-0 pixels."""
        row, col = np.indices(self.tissue.shape).reshape(2, -1)
        return self.truth.raster.centers_xy(row, col)

    @property
    def molecules(self) -> float:
        """Factor from a cell's rate to the counts of a spot that is like it all over."""
        return self.truth.depth * np.pi / 4 * (self.diameter_px / self.truth.raster.step_px) ** 2

    def rates(self) -> Planes:
        """Rate of each gene in each cell, without noise."""
        return self.truth.rates[self._columns]

    def true_spots(self) -> Tensor:
        """Return what each spot is expected to count, without noise."""
        expected = self.truth.under(self.spots_xy, self.sample.spot_diameter_um)[:, self._columns]
        return torch.from_numpy((expected * self.truth.depth).astype(np.float32))

    def true_patches(self) -> Float[NDArray[np.float32], "patch gene"]:
        """Rate at the centre of every patch of every spot's tile, as counts of a spot; NaN off the slide."""
        cells = self.truth.raster.cells_of(self.sample.grid.centers_xy(self.spots_xy, self.sample.mpp))
        inside = self.truth.raster.contains(cells)
        row, col = np.moveaxis(np.where(inside[..., None], cells, 0), -1, 0)
        values = np.where(inside, self.rates()[:, row, col] * self.molecules, np.nan)  # (gene, spot, patch)
        return np.asarray(values.reshape(len(self.genes), -1).T, dtype=np.float32)

    def seen(self, labels: Tensor) -> PatchSection:
        """Return the section as a student sees it."""
        return PatchSection(
            name=self.sample.name,
            patches=self.sample.patch_features,
            labels=labels,
            measured=self.measured,
            reference=FeatureReference.of_section(self.sample.patch_features),
        )

    def score(self, said: Said) -> dict[str, Any]:
        """Score a method: means over visible genes, and within-spot r by gene.

        Cells that are not taken for tissue, which a map leaves empty, are left out for every method.
        """
        said = replace(said, planes=np.where(self.detected, said.planes, np.float32(np.nan)))
        under = cells_under_spots(self.truth.raster, self.spots_xy, self.diameter_px)
        gaps = cells_under_spots(self.truth.raster, self.gaps_xy, self.diameter_px)
        within, gap_within = self._within(said.planes, under), self._within(said.planes, gaps)
        gap = self._disc_gap(said)[:, self.visible]
        return {
            "at_spots": self._mean(pearson(said.spots, self.measured)),
            **self._by_place(said.planes, under),
            "ssim": self._mean(self._ssim(said.planes)),
            "within": self._mean(np.nan_to_num(within)),
            "within_between": self._mean(np.nan_to_num(gap_within)),
            "within_invisible": float(np.abs(np.nan_to_num(within[~self.visible])).mean()),
            "flat": int(np.isnan(within[self.visible]).sum()),
            "disc_gap_mean": float(gap.mean()),
            "disc_gap_most": float(gap.max(axis=0).mean()),
            "unseen": float(np.isnan(said.planes[0][self.tissue]).mean()),
            "invisible": [gene for gene, seen in zip(self.genes, self.visible, strict=True) if not seen],
            "within_by_gene": {
                gene: None if np.isnan(r) else round(float(r), 4)
                for gene, r in zip(self.genes, within, strict=True)
            },
        }

    def _mean(self, values: PerGene) -> float:
        return float(np.nanmean(values[self.visible]))

    def _by_place(self, planes: Planes, under: NDArray[np.int64]) -> dict[str, float]:
        """Scores over cells: under spots, between them, and over the whole tissue."""
        covered = np.zeros_like(self.tissue)
        covered[under[:, 1], under[:, 2]] = True
        places = {"inside": covered & self.tissue, "between": ~covered & self.tissue, "tissue": self.tissue}
        found, rates = {}, self.rates()
        for place, cells in places.items():
            seen = cells & np.isfinite(planes[0])
            predicted, truth = planes[:, seen].T, Measured(rates[:, seen].T)
            for name, score in {"r": pearson, "spearman": spearman, "rmse": rmse_minmax}.items():
                found[f"{name}_{place}"] = self._mean(score(predicted, truth))
        return found

    def _within(self, planes: Planes, cells: NDArray[np.int64]) -> PerGene:
        """Within-spot r of each gene; NaN for a map that is flat within every spot."""
        rates = self.rates()
        r = [within_spot_r(plane, true, cells) for plane, true in zip(planes, rates, strict=True)]
        return np.array(r)

    def _ssim(self, planes: Planes) -> PerGene:
        rates = self.rates()
        return np.array([picture_ssim(p, t, self.tissue) for p, t in zip(planes, rates, strict=True)])

    def _disc_gap(self, said: Said) -> Spots:
        """How far the map, pooled over a spot's disc, is from the spot, relative to the range of spots.

        Of spots that the map covers wholly: it is empty on glass, which a spot's own tile is not.
        """
        shares = spot_shares(self.truth.raster, self.spots_xy, self.diameter_px, "disc")
        flat = said.planes.reshape(len(said.planes), -1).T
        seen = np.isfinite(flat[:, 0]).astype(np.float64)
        whole = shares @ seen >= 0.98 * np.pi / 4 * (self.diameter_px / self.truth.raster.step_px) ** 2
        pooled = (shares @ np.nan_to_num(flat))[whole] / (shares @ seen)[whole, None]
        return np.abs(pooled - said.spots[whole]) / np.maximum(np.ptp(said.spots, axis=0), 1e-9)
