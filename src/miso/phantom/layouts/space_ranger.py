"""Space Ranger's folder of a Visium sample in its versions: counts by barcode, and the folder `spatial`."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from miso.phantom.cohort import Section
from miso.phantom.layouts.features import measure
from miso.phantom.layouts.layout import Delivery, Piece
from miso.phantom.layouts.matrices import write_barcodes, write_features, write_h5, write_mtx
from miso.phantom.layouts.pictures import (
    cytassist_view,
    full_picture,
    png,
    save_jpeg,
    shrunk,
    spots_drawn,
    tiff,
)
from miso.phantom.layouts.probes import write_probes
from miso.phantom.layouts.spatial import (
    CYTASSIST_MARKS,
    HIRES_PX,
    LOWRES_PX,
    SLIDE_MARKS,
    positions,
    scale_factors,
    write_json,
)

MATRIX = "filtered_feature_bc_matrix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """How one version of Space Ranger leaves a sample.

    Attributes
    ----------
    software, chemistry
        What the count matrix says of its making.
    header
        Whether the list of positions has a header, and the name without `_list`.
    matrix
        One HDF5 file, a folder of texts, or only the matrix of single probes.
    cytassist
        Whether spots were transferred by a CytAssist: its own picture lies beside, and pixels are not whole.
    """

    software: str
    chemistry: str
    header: bool = True
    matrix: Literal["h5", "mtx", "probes"] = "h5"
    cytassist: bool = False


def pieces(section: Section, delivery: Delivery, version: Version) -> Iterator[Piece]:
    """Write counts, positions, scale factors and small pictures; the full picture lies elsewhere."""
    outs = delivery.vendor_folder(section.name)
    yield from _matrix(section, delivery, version, outs)
    table = positions(section.sites, section.on_tissue, whole=not version.cytassist)
    name = "tissue_positions.csv" if version.header else "tissue_positions_list.csv"
    yield f"{outs}/spatial/{name}", partial(_write_csv, table=table, header=version.header)
    marks = CYTASSIST_MARKS if version.cytassist else SLIDE_MARKS
    factors = scale_factors(section, marks, target=version.cytassist)
    yield f"{outs}/spatial/scalefactors_json.json", partial(write_json, factors=factors)
    yield from _small_pictures(section, version, f"{outs}/spatial", marks.spot_um)
    yield full_picture(section, delivery, f"images/{section.name}")


def _matrix(section: Section, delivery: Delivery, version: Version, outs: str) -> Iterator[Piece]:
    if version.matrix == "probes":
        write = partial(
            write_probes,
            section=section,
            delivery=delivery,
            software=version.software,
            chemistry=version.chemistry,
        )
        yield f"{outs}/raw_probe_bc_matrix.h5", write
        return
    measured = measure(section, delivery)
    if version.matrix == "h5":
        yield (
            f"{outs}/{MATRIX}.h5",
            partial(
                write_h5,
                measured=measured,
                library=section.name,
                software=version.software,
                chemistry=version.chemistry,
            ),
        )
        return
    yield f"{outs}/{MATRIX}/barcodes.tsv.gz", partial(write_barcodes, measured=measured)
    yield f"{outs}/{MATRIX}/features.tsv.gz", partial(write_features, measured=measured)
    yield f"{outs}/{MATRIX}/matrix.mtx.gz", partial(write_mtx, measured=measured, software=version.software)


def _small_pictures(section: Section, version: Version, folder: str, spot_um: float) -> Iterator[Piece]:
    hires, scale = shrunk(section, HIRES_PX)
    lowres, _ = shrunk(section, LOWRES_PX)
    yield f"{folder}/tissue_hires_image.png", lambda path: path.write_bytes(png(hires))
    yield f"{folder}/tissue_lowres_image.png", lambda path: path.write_bytes(png(lowres))
    found = spots_drawn(section, hires, scale, spot_um)
    yield f"{folder}/detected_tissue_image.jpg", partial(save_jpeg, image=found)
    if version.cytassist:
        view = cytassist_view(section)
        yield f"{folder}/cytassist_image.tiff", lambda path: path.write_bytes(tiff(view))
        yield f"{folder}/aligned_fiducials.jpg", partial(save_jpeg, image=view)
        yield f"{folder}/aligned_tissue_image.jpg", partial(save_jpeg, image=lowres)
    else:
        yield f"{folder}/aligned_fiducials.jpg", partial(save_jpeg, image=hires)


def _write_csv(path: Path, table: pd.DataFrame, *, header: bool) -> None:
    table.to_csv(path, index=False, header=header)
