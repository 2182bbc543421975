"""A section as tensors: what a model sees of it, and what it is to predict."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from miso.errors import CohortError
from miso.samples import Cohort, Sample
from miso.samples.targets import target_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section.

    Attributes
    ----------
    features, neighbors, center_um
        Tile features, lists of nearest spots, and positions.
    stain
        Features of the embedded `stain` encoder, which the colour baseline sees; no columns where a Sample
        came without its image.
    total
        Molecules of each spot; only the oracle of depth sees it.
    y
        The target; NaN in the columns of genes that the section did not measure.
    patient
        Whose it is; by itself where nobody says.
    """

    name: str
    features: Float[Tensor, "spot dim"]
    stain: Float[Tensor, "spot stain_dim"]
    neighbors: Int[Tensor, "spot k"]
    center_um: Float[Tensor, "spot 2"]
    total: Float[Tensor, " spot"]
    y: Float[Tensor, "spot gene"]
    patient: str = ""

    @property
    def measured(self) -> Bool[Tensor, " gene"]:
        """Which genes the section measured."""
        return ~self.y.isnan().any(0)


def load_section(
    sample: Sample, cohort: Cohort, knn: int, device: torch.device, *, baselines: bool = True
) -> Section:
    """Read a Sample of a cohort.

    Raises
    ------
    CohortError
        If it has no stain features, which only the `baselines` need.
    """
    adata = sample.adata
    if baselines and "stain_features" not in adata.obsm:
        raise CohortError(
            f"sample {sample.name!r} was imported without its image and has no stain features, which the "
            "colour baselines need; set baselines=false, or process the slide itself"
        )
    return Section(
        name=sample.name,
        patient=sample.patient,
        features=torch.from_numpy(adata.obsm["tile_features"]).to(device),
        stain=torch.from_numpy(adata.obsm.get("stain_features", np.empty((len(adata), 0), np.float32))).to(
            device
        ),
        neighbors=torch.from_numpy(sample.neighbors(knn)).to(device),
        center_um=torch.from_numpy(adata.obsm["spatial"] * sample.mpp).float().to(device),
        total=torch.from_numpy(adata.obs["total_counts"].to_numpy(dtype=np.float32)).to(device),
        y=torch.from_numpy(target_values(sample, cohort.target, cohort.genes, cohort.missing)).to(device),
    )
