"""What a page says of a Sample: its spots, depth, genes and tiles; µm per pixel and where they are from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from miso.geometry import Points
from miso.launch.provenance import flatten
from miso.samples import Sample
from miso.samples.sample import TOTAL

GOOD = "tissue"
"""The reason of a tile with which nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Section:
    """A Sample in figures.

    Attributes
    ----------
    genes, genes_seen
        Genes that the counts have a column for, and those of them with any count.
    median_counts, median_genes
        Of spots; NaN where the Sample does not say.
    reasons
        Spots by what their tile shows; empty where it was not looked at.
    obs
        A row a spot: whatever the Sample keeps of its quality.
    """

    sample: Sample
    spots: int
    genes: int
    genes_seen: int
    median_counts: float
    median_genes: float
    reasons: dict[str, int]
    obs: pd.DataFrame
    center_xy: Points

    @property
    def on_tissue(self) -> float:
        """Share of spots whose tile is good; NaN where it was not looked at."""
        return self.reasons.get(GOOD, 0) / self.spots if self.reasons and self.spots else float("nan")

    @property
    def notes(self) -> list[str]:
        """What was dropped or doubted when it was processed."""
        return [str(note) for note in self.sample.manifest.get("notes", [])]

    @property
    def settings(self) -> Mapping[str, Any]:
        """How it was made, on one level."""
        kept = {key: v for key, v in self.sample.manifest.items() if key not in ("notes", "name", "schema")}
        return {"folder": str(self.sample.path.resolve()), **flatten(kept)}

    def column(self, name: str) -> Float[NDArray[np.float64], " spot"]:
        """Return a column of `obs`; NaN where there is none."""
        if name not in self.obs:
            return np.full(self.spots, np.nan)
        return self.obs[name].to_numpy(dtype=np.float64)


def look_at(sample: Sample) -> Section:
    """Read a Sample and sum it up.

    Raises
    ------
    SampleError
        If it is damaged.
    """
    with sample.briefly() as adata:
        obs = adata.obs.copy()
        counts = np.asarray(adata.X.sum(axis=0)).ravel()
        center_xy = np.asarray(adata.obsm["spatial"], dtype=np.float64).reshape(-1, 2)
    reasons = obs["reason"].value_counts() if "reason" in obs else pd.Series(dtype=int)
    return Section(
        sample=sample,
        spots=len(obs),
        genes=len(counts),
        genes_seen=int((counts > 0).sum()),
        median_counts=_median(obs, TOTAL),
        median_genes=_median(obs, "n_genes"),
        reasons={str(reason): int(n) for reason, n in reasons.items() if n},
        obs=obs,
        center_xy=center_xy,
    )


def _median(obs: pd.DataFrame, name: str) -> float:
    known = obs[name].dropna() if name in obs else pd.Series(dtype=float)
    return float(known.median()) if len(known) else float("nan")
