"""A Space Ranger folder of any version, Visium or Visium HD, read into a section."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from miso.errors import SampleError
from miso.samples.spots import Spots
from miso.samples.vendors.section import VendorOptions, VendorSection
from miso.samples.vendors.space_ranger.aggregate import (
    choose_library,
    library_numbers,
    of_library,
    take_library,
)
from miso.samples.vendors.space_ranger.counts import open_counts, read_counts
from miso.samples.vendors.space_ranger.join import Joined, join
from miso.samples.vendors.space_ranger.matrix import CountMatrix
from miso.samples.vendors.space_ranger.place import COUNTS, find_place, has_traces, prefix_of
from miso.samples.vendors.space_ranger.positions import Positions
from miso.samples.vendors.space_ranger.spatial import (
    SpatialFolder,
    describe,
    read_place,
    read_spatial,
    said_version,
)
from miso.units import VISIUM_PITCH_UM, VISIUM_SPOT_DIAMETER_UM

__all__ = ["SpatialFolder", "is_space_ranger", "read_space_ranger", "read_spatial"]


def is_space_ranger(path: Path) -> bool:
    """Whether a folder is of Space Ranger, by its names alone: true of damaged and incomplete ones too."""
    if path.is_dir():
        return has_traces(path)
    return path.is_file() and prefix_of(path, COUNTS[:-1]) is not None


def read_space_ranger(folder: Path, options: VendorOptions) -> VendorSection:
    """Read a section: spots in tissue that have counts.

    Parameters
    ----------
    folder
        A sample folder, its `outs`, `spatial` or `binned_outputs`, or one bin's folder.

    Raises
    ------
    SampleError
        If a file is absent or damaged, or something is to be chosen.
    AlignmentError
        If positions do not lie on the array's lattice, or counts and positions share no barcode.
    """
    spatial = read_place(find_place(folder, options.bin_um), options.bin_um, options.library)
    files = spatial.files
    if files.counts is None:
        raise SampleError(
            f"{files.folder} has spot positions but no counts (filtered_feature_bc_matrix.h5 or folder, "
            "raw_feature_bc_matrix or raw_probe_bc_matrix.h5); copy them into it"
        )
    with open_counts(files.counts) as matrix:
        positions, joined = _join(spatial, matrix, options.library)
        spots = _read_spots(spatial, positions, matrix, joined, options)
    version = matrix.version or said_version(files)
    return VendorSection(
        layout=describe(files, version, spatial.bin_um, spatial.cytassist),
        name=files.name,
        spots=spots,
        resolutions=spatial.resolutions,
        full_size_px=spatial.full_size_px,
        size_slack_px=spatial.size_slack_px,
        pictures=spatial.pictures,
        inputs=[*matrix.inputs, *spatial.inputs],
    )


def _join(spatial: SpatialFolder, matrix: CountMatrix, named: str) -> tuple[Positions, Joined]:
    """Match counts with positions, of one library where the matrix counts several."""
    positions, library = spatial.positions, spatial.files.library
    numbers = library_numbers(matrix.barcodes)
    if len(numbers) > 1:
        library = library or choose_library({name: int(name) for name in numbers}, named, matrix.path)
        positions = take_library(positions, library, named)
    elif named and library is None and named != spatial.name:
        raise SampleError(f"{spatial.files.folder} is a run of one library; leave out --library {named}")
    mine = None if library is None or not numbers else of_library(matrix.barcodes, library)
    raw = matrix.path.name.startswith("raw") or matrix.path.parent.name.startswith("raw")
    return positions, join(positions, matrix.barcodes, matrix.path.name, raw=raw, mine=mine)


def _read_spots(
    spatial: SpatialFolder, positions: Positions, matrix: CountMatrix, joined: Joined, options: VendorOptions
) -> Spots:
    found = read_counts(matrix, joined.kept, options.duplicate_genes)
    placed = positions.take(joined.position)
    bin_um = spatial.bin_um
    return Spots(
        barcodes=matrix.barcodes.filter(pa.array(joined.kept)).to_pylist(),
        center_xy=placed.center_xy,
        array_xy=placed.array_xy.astype(np.float64),
        diameter_um=VISIUM_SPOT_DIAMETER_UM if bin_um is None else bin_um,
        pitch_um=VISIUM_PITCH_UM if bin_um is None else bin_um,
        shape="disc" if bin_um is None else "square",
        counts=found.counts,
        genes=found.genes,
        gene_ids=found.gene_ids,
        tables={} if found.proteins is None else {"protein": found.proteins},
        notes=[*spatial.notes, *joined.notes, *found.notes],
    )
