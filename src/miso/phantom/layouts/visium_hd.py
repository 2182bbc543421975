"""Space Ranger's folder of a Visium HD sample: the same molecules on bins of 8 µm and of 16 µm."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from miso.phantom.arrays import BIN_UM, hd_barcodes
from miso.phantom.cohort import Section
from miso.phantom.layouts.features import Measured, measure
from miso.phantom.layouts.layout import Delivery, Piece
from miso.phantom.layouts.matrices import write_h5
from miso.phantom.layouts.pictures import cytassist_view, full_picture, png, shrunk, tiff
from miso.phantom.layouts.spatial import LOWRES_PX, TARGET_PX, Marks, positions, scale_factors, write_json
from miso.phantom.spots import Lattice

SOFTWARE, CHEMISTRY = "spaceranger-3.1.3", "Visium HD v1"
FIDUCIAL_UM = 330.0
FACTOR = 2
"""Small bins along the side of a large one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """A section on bins of one size: every bin of the array, whether it has tissue, and molecules."""

    bin_um: float
    sites: Lattice
    on_tissue: NDArray[np.bool_]
    measured: Measured


def pieces(section: Section, delivery: Delivery) -> Iterator[Piece]:
    """Write a folder for each size of bins, and the instrument's view; the full picture lies elsewhere."""
    outs = delivery.vendor_folder(section.name)
    pictures = {
        "tissue_hires_image.png": png(shrunk(section, TARGET_PX)[0]),
        "tissue_lowres_image.png": png(shrunk(section, LOWRES_PX)[0]),
        "cytassist_image.tiff": tiff(cytassist_view(section)),
    }
    small = small_bins(section, delivery)
    for bins in (small, merged(small)):
        folder = f"{outs}/binned_outputs/square_{bins.bin_um:03.0f}um"
        yield from _bins_folder(section, bins, folder)
        yield from _pictures_folder(pictures, f"{folder}/spatial")
    yield from _pictures_folder(pictures, f"{outs}/spatial")
    yield full_picture(section, delivery, f"images/{section.name}")


def _pictures_folder(pictures: dict[str, bytes], folder: str) -> Iterator[Piece]:
    for name, content in pictures.items():
        yield f"{folder}/{name}", partial(Path.write_bytes, data=content)


def small_bins(section: Section, delivery: Delivery) -> Bins:
    """Gather the bins that were sequenced; those without any molecule are not in the matrix."""
    return Bins(
        bin_um=BIN_UM,
        sites=section.sites,
        on_tissue=section.on_tissue,
        measured=_without_empty(measure(section, delivery)),
    )


def merged(small: Bins) -> Bins:
    """Join squares of `FACTOR`² bins: their molecules are summed, and tissue on one is tissue on all."""
    columns, rows = small.sites.array_xy.max(axis=0) + 1
    blocks = (
        rows // FACTOR,
        FACTOR,
        columns // FACTOR,
        FACTOR,
    )  # the sites are row-major and as many as that
    array_xy = small.sites.array_xy.reshape(*blocks, 2)[:, 0, :, 0].reshape(-1, 2) // FACTOR
    center_xy = small.sites.center_xy.reshape(*blocks, 2).mean(axis=(1, 3)).reshape(-1, 2)
    bin_um = small.bin_um * FACTOR
    sites = Lattice(
        names=hd_barcodes(array_xy, bin_um),
        array_xy=array_xy,
        refined_xy=array_xy.astype(float),
        center_xy=center_xy,
    )
    on_tissue = small.on_tissue.reshape(blocks).any(axis=(1, 3)).ravel()
    return Bins(
        bin_um=bin_um, sites=sites, on_tissue=on_tissue, measured=_summed(small, sites, columns // FACTOR)
    )


def _summed(small: Bins, sites: Lattice, columns: int) -> Measured:
    """Molecules of large bins; barcodes of bins sort as the bins lie, row by row."""
    held = small.sites.array_xy[np.searchsorted(small.sites.names, small.measured.barcodes)] // FACTOR
    large = held[:, 1] * columns + held[:, 0]
    ones = np.ones(len(large), dtype=np.int32)
    adding = csr_array((ones, (large, np.arange(len(large)))), shape=(len(sites), len(large)))
    counts = csr_array(adding @ small.measured.counts)
    return _without_empty(Measured(barcodes=sites.names, features=small.measured.features, counts=counts))


def _without_empty(measured: Measured) -> Measured:
    some = np.asarray(measured.counts.sum(axis=1)) > 0
    return replace(measured, barcodes=measured.barcodes[some], counts=csr_array(measured.counts[some]))


def _bins_folder(section: Section, bins: Bins, folder: str) -> Iterator[Piece]:
    write = partial(
        write_h5, measured=bins.measured, software=SOFTWARE, chemistry=CHEMISTRY, library=section.name
    )
    yield f"{folder}/filtered_feature_bc_matrix.h5", write
    table = positions(bins.sites, bins.on_tissue, whole=False)
    yield f"{folder}/spatial/tissue_positions.parquet", lambda path: table.to_parquet(path, index=False)
    factors = hd_factors(section, bins.bin_um)
    yield f"{folder}/spatial/scalefactors_json.json", partial(write_json, factors=factors)


def hd_factors(section: Section, bin_um: float) -> dict[str, float]:
    """Scale factors of bins: here a spot is as large as it is said to be, and the resolution is told."""
    marks = Marks(spot_um=bin_um, fiducial_um=FIDUCIAL_UM)
    factors = scale_factors(section, marks, hires_px=TARGET_PX, target=True)
    return factors | {"bin_size_um": bin_um, "microns_per_pixel": section.truth.mpp}
