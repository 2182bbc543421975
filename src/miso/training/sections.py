"""Sections as tensors: what a model sees and is to predict, each read from disk when it is needed."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from miso.errors import CohortError
from miso.launch.memory import available_bytes, require
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
        The target; NaN in the columns of genes that the section did not measure, and in the rows of spots
        that its table lacks.
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
        return ~self.y.isnan().all(0)

    @property
    def spots(self) -> Int[Tensor, " known"] | slice:
        """Spots to learn from: all of them, but for those without a value."""
        if not self.y.sum().isnan():  # the quick way to see that nothing lacks
            return slice(None)
        known = ~self.y.isnan().all(1)
        return slice(None) if known.all() or not known.any() else known.nonzero().flatten().cpu()

    @property
    def n_bytes(self) -> int:
        """What its tensors take."""
        held = (self.features, self.stain, self.neighbors, self.center_um, self.total, self.y)
        return sum(tensor.nbytes for tensor in held)


def load_section(
    sample: Sample, cohort: Cohort, knn: int, device: torch.device, *, baselines: bool = True
) -> Section:
    """Read a Sample of a cohort.

    Raises
    ------
    CohortError
        If it has no stain features, which only the `baselines` need.
    """
    with sample.briefly(whole=False) as adata:
        if baselines and "stain_features" not in adata.obsm:
            raise CohortError(
                f"sample {sample.name!r} was imported without its image and has no stain features, which the "
                "colour baselines need; set baselines=false, or process the slide itself"
            )
        no_stain = np.empty((len(adata), 0), np.float32)
        return Section(
            name=sample.name,
            patient=sample.patient,
            features=torch.from_numpy(adata.obsm["tile_features"]).to(device),
            stain=torch.from_numpy(adata.obsm.get("stain_features", no_stain)).to(device),
            neighbors=torch.from_numpy(sample.neighbors(knn)).to(device),
            center_um=torch.from_numpy(adata.obsm["spatial"] * sample.mpp).float().to(device),
            total=torch.from_numpy(adata.obs["total_counts"].to_numpy(dtype=np.float32)).to(device),
            y=torch.from_numpy(target_values(sample, cohort.target, cohort.genes, cohort.missing)).to(device),
        )


class Held:
    """Sections held in memory up to a number of bytes, and the last one read besides.

    The first ones are held and stay: everyone passes over a cohort from its first section to its last, and
    there what was used longest ago is what is needed next, so that dropping it would find nothing again.
    """

    def __init__(self, budget: int) -> None:
        self.budget, self.n_bytes = budget, 0
        self._held: dict[str, Section] = {}
        self._last: Section | None = None

    @classmethod
    def on(cls, device: torch.device) -> "Held":
        """Take a quarter of the memory that is available there where sections are.

        Processes that `torchrun` starts on one machine share its memory.

        Raises
        ------
        MisoError
            If this process may not hold what training takes at least (`miso.launch.memory`).
        """
        if device.type == "cuda":
            return cls(torch.cuda.mem_get_info(device)[0] // 4)
        require(0, "training")
        return cls(available_bytes() // 4 // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))

    def get(self, name: str, read: Callable[[], Section]) -> Section:
        """Return a section by its name; one that is not held is read."""
        if name in self._held:
            return self._held[name]
        if self._last is not None and self._last.name == name:
            return self._last
        self._last = None  # two would be one too many
        section = read()
        if self.n_bytes + section.n_bytes <= self.budget:
            self._held[name] = section
            self.n_bytes += section.n_bytes
        else:
            self._last = section
        return section


class Sections(Sequence[Section]):
    """Sections of a cohort, each read from disk when it is asked for; those of a part share what is held.

    `names`, `patients` and `n_spots` are known without reading any.
    """

    def __init__(
        self,
        cohort: Cohort,
        names: Sequence[str],
        knn: int,
        device: torch.device,
        *,
        baselines: bool = True,
        held: Held | None = None,
    ) -> None:
        self.cohort, self.names, self.knn, self.device = cohort, tuple(names), knn, device
        self.baselines, self.held = baselines, Held.on(device) if held is None else held

    @property
    def patients(self) -> list[str]:
        """Whose each section is."""
        return [self.cohort.samples[name].patient for name in self.names]

    @property
    def n_spots(self) -> list[int]:
        """How many spots each section has."""
        return [self.cohort.samples[name].n_spots for name in self.names]

    def of(self, names: Sequence[str]) -> "Sections":
        """Return some sections of the cohort, which share what is held in memory."""
        return Sections(self.cohort, names, self.knn, self.device, baselines=self.baselines, held=self.held)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Section: ...
    @overload
    def __getitem__(self, index: slice) -> "Sections": ...
    def __getitem__(self, index: int | slice) -> "Section | Sections":
        if isinstance(index, slice):
            return self.of(self.names[index])
        sample = self.cohort.samples[self.names[index]]
        return self.held.get(
            sample.name,
            lambda: load_section(sample, self.cohort, self.knn, self.device, baselines=self.baselines),
        )


def names_and_patients(sections: Sequence[Section]) -> tuple[list[str], list[str]]:
    """Return the name of each section, and whose it is, reading none where that is known."""
    if isinstance(sections, Sections):
        return list(sections.names), sections.patients
    return [section.name for section in sections], [section.patient for section in sections]
