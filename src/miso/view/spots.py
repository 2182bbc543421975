"""What was measured, or predicted, at the spots of a section: positions, and values gene by gene."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.geometry import Points
from miso.units import Resolution
from miso.untrusted.hdf5_links import check_hdf5

if TYPE_CHECKING:
    import anndata

COUNTS = "counts per spot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spots:
    """Spots of a section: centres in level-0 pixels of its slide.

    `spot_um` is a disc's diameter or a bin's side. `resolution` and `slide_px`, (width, height), are the
    slide's, where they are known.
    """

    name: str
    kind: Literal["measured", "predicted"]
    units: str
    genes: tuple[str, ...]
    names: tuple[str, ...]
    xy: Points
    spot_um: float
    square: bool
    resolution: Resolution | None
    slide_px: tuple[int, int] | None
    of_gene: Callable[[int], Float[NDArray[np.float32], " spot"]]


def open_spots(path: Path) -> Spots:
    """Open a Sample, or the `.h5ad` that `miso predict` or a run writes.

    Raises
    ------
    SampleError
        If it is neither.
    """
    return _predicted(path) if path.suffix == ".h5ad" else _measured(path)


def _measured(path: Path) -> Spots:
    from miso.samples import open_sample  # with anndata, which takes long to import
    from miso.samples.targets import dense_counts

    sample = open_sample(path)
    adata, size = sample.adata, sample.manifest["slide"].get("size_px")
    return Spots(
        name=sample.name,
        kind="measured",
        units=COUNTS,
        genes=tuple(adata.var_names),
        names=tuple(adata.obs_names),
        xy=np.asarray(adata.obsm["spatial"], dtype=np.float64),
        spot_um=sample.spot_diameter_um,
        square=sample.square_spots,
        resolution=Resolution(mpp=sample.mpp, source=str(sample.manifest["resolution"]["source"])),
        slide_px=(int(size[0]), int(size[1])) if size else None,
        of_gene=lambda gene: dense_counts(adata, [adata.var_names[gene]])[:, 0],
    )


def _predicted(path: Path) -> Spots:
    import anndata

    if not path.is_file():
        raise SampleError(f"no predictions at {path}; miso predict writes them, one .h5ad a sample")
    try:
        check_hdf5(path)
        adata = anndata.read_h5ad(path)
        said = adata.uns["miso"]
        xy = np.asarray(adata.obsm["spatial"], dtype=np.float64)
        return Spots(
            name=str(said["sample"]),
            kind="predicted",
            units=str(said["units"]),
            genes=tuple(adata.var_names),
            names=tuple(adata.obs_names),
            xy=xy,
            spot_um=_spot_um(adata),
            square=False,
            resolution=None,
            slide_px=None,
            of_gene=lambda gene: np.asarray(adata.X[:, gene], dtype=np.float32).ravel(),
        )
    except (OSError, KeyError, ValueError, TypeError) as err:
        why = " ".join(str(err).split())[:120]
        raise SampleError(
            f"{path} is no .h5ad of predictions ({why}); miso predict writes them, and a Sample is a folder"
        ) from err


def _spot_um(adata: "anndata.AnnData") -> float:
    """Read the diameter of spots: runs write it in µm, `miso predict` as Space Ranger's readers do."""
    if (said := adata.uns["miso"].get("spot_diameter_um")) is not None:
        return float(said)
    record = next(iter(adata.uns["spatial"].values()))
    return float(record["scalefactors"]["spot_diameter_fullres"]) * float(record["metadata"]["mpp"])
