"""The phantom's answer: expected molecules a patch of 8 µm at depth 1, for every gene of a section."""

from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.geometry import Points, Raster
from miso.phantom.expression import spot_shares
from miso.phantom.genes import PROGRAMS
from miso.samples.spots import SpotShape

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a perfect model would say of a section.

    Attributes
    ----------
    section
        Its name.
    genes, visible
        Symbols, and whether a gene's rate follows from what the slide shows.
    loadings, programs
        The rates' two factors: molecules a unit, and units a patch of `PROGRAMS` and of the invisible fields.
    tissue
        Share of each patch inside the tissue's outline, 0 to 1.
    raster, mpp
        Where the patches lie in level-0 pixels, and µm per level-0 pixel.
    depth
        Factor between rates and what this section was sequenced to.
    """

    section: str
    genes: tuple[str, ...]
    visible: NDArray[np.bool_]
    loadings: Float[NDArray[np.float32], "gene program"]
    programs: Float[NDArray[np.float32], "program row col"]
    tissue: Float[NDArray[np.float32], "row col"]
    raster: Raster
    mpp: float
    depth: float

    @property
    def rates(self) -> Float[NDArray[np.float32], "gene row col"]:
        """Expected molecules a patch at depth 1, without noise; computed at each call."""
        return np.asarray(np.tensordot(self.loadings, self.programs, axes=1))

    def __getitem__(self, gene: str) -> Float[NDArray[np.float32], "row col"]:
        """Rate of one gene: expected molecules a patch at depth 1."""
        if gene not in self.genes:
            raise KeyError(f"no gene {gene!r} in the truth of {self.section!r}")
        return np.asarray(np.tensordot(self.loadings[self.genes.index(gene)], self.programs, axes=1))

    def program(self, name: str) -> Float[NDArray[np.float32], "row col"]:
        """Units of one of `PROGRAMS` a patch: cells of a kind, for one."""
        return np.asarray(self.programs[PROGRAMS.index(name)])

    def under(
        self, center_xy: Points, diameter_um: float, shape: SpotShape = "disc"
    ) -> Float[NDArray[np.float64], "spot gene"]:
        """Add up the rates under spots centred on level-0 pixels; off the section there is nothing."""
        shares = spot_shares(self.raster, center_xy, diameter_um / self.mpp, shape)
        amounts = shares @ self.programs.reshape(len(self.programs), -1).T.astype(np.float64)
        return np.asarray(amounts @ self.loadings.T.astype(np.float64))

    def tissue_under(
        self, center_xy: Points, diameter_um: float, shape: SpotShape = "disc"
    ) -> Float[NDArray[np.float64], " spot"]:
        """Share of each spot that is tissue, of what of it lies on the section."""
        shares = spot_shares(self.raster, center_xy, diameter_um / self.mpp, shape)
        return np.asarray((shares @ self.tissue.ravel()) / np.maximum(shares.sum(axis=1), 1e-9))

    def seen_at(self, zoom: int) -> "Truth":
        """See the same truth beneath a picture of `zoom` times as many pixels."""
        x, y = self.raster.origin_xy
        raster = replace(self.raster, origin_xy=(x * zoom, y * zoom), step_px=self.raster.step_px * zoom)
        return replace(self, raster=raster, mpp=self.mpp / zoom)


def save_truth(path: Path, truth: Truth) -> None:
    """Write an `.npz` of plain arrays."""
    with path.open("wb") as file:
        np.savez(
            file,
            schema=np.int64(SCHEMA),
            section=np.str_(truth.section),
            genes=np.array(truth.genes, dtype=np.str_),
            visible=truth.visible,
            loadings=truth.loadings,
            programs=truth.programs,
            tissue=truth.tissue,
            origin_xy=np.asarray(truth.raster.origin_xy),
            step_px=np.float64(truth.raster.step_px),
            mpp=np.float64(truth.mpp),
            depth=np.float64(truth.depth),
        )


def open_truth(path: Path | str) -> Truth:
    """Read a section's truth.

    Raises
    ------
    SampleError
        If there is no such file or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise SampleError(f"no phantom truth at {path}; `miso demo` writes one beside its cohort")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            held = {name: stored[name] for name in stored.files}
            return _truth(held)
    except (KeyError, ValueError, OSError, BadZipFile) as err:
        raise SampleError(f"{path} is no phantom truth of schema {SCHEMA}: {err}") from err


def _truth(held: dict[str, NDArray[np.generic]]) -> Truth:
    if int(held["schema"]) != SCHEMA:
        raise ValueError(f"it has schema {int(held['schema'])}")
    x, y = map(float, held["origin_xy"])
    rows, cols = held["tissue"].shape
    return Truth(
        section=str(held["section"]),
        genes=tuple(map(str, held["genes"])),
        visible=held["visible"].astype(bool),
        loadings=held["loadings"].astype(np.float32),
        programs=held["programs"].astype(np.float32),
        tissue=held["tissue"].astype(np.float32),
        raster=Raster(origin_xy=(x, y), step_px=float(held["step_px"]), shape=(rows, cols)),
        mpp=float(held["mpp"]),
        depth=float(held["depth"]),
    )
