"""An `.h5ad` of a Visium section as scanpy's reader makes it, beside the full-resolution picture."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from anndata.utils import make_index_unique

from miso.phantom.cohort import Section
from miso.phantom.layouts.features import measure
from miso.phantom.layouts.layout import Delivery, Piece
from miso.phantom.layouts.matrices import GENOME
from miso.phantom.layouts.pictures import full_picture, shrunk
from miso.phantom.layouts.spatial import HIRES_PX, LOWRES_PX, SLIDE_MARKS, positions, scale_factors


def pieces(section: Section, delivery: Delivery) -> Iterator[Piece]:
    """Write the file and its picture, under one name in the section's folder."""
    yield f"{section.name}/{section.name}.h5ad", partial(_write, section=section, delivery=delivery)
    yield full_picture(section, delivery, f"{section.name}/{section.name}")


def as_anndata(section: Section, delivery: Delivery) -> ad.AnnData:
    """Table counted spots by feature: molecules, array positions in `obs`, level-0 pixels in `obsm`."""
    measured = measure(section, delivery)
    table = positions(section.sites, section.on_tissue, whole=True).set_index("barcode")
    table = table.loc[measured.barcodes.tolist()]
    names = make_index_unique(pd.Index(measured.features.names))
    var = pd.DataFrame(
        {
            "gene_ids": list(measured.features.ids),
            "feature_types": list(measured.features.kinds),
            "genome": GENOME,
        },
        index=names,
    )
    return ad.AnnData(
        X=measured.counts.astype(np.float32),
        obs=table[["in_tissue", "array_row", "array_col"]].rename_axis(None),
        var=var,
        obsm={"spatial": table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()},
    )


def _write(path: Path, section: Section, delivery: Delivery) -> None:
    table = as_anndata(section, delivery)
    images = {"hires": HIRES_PX, "lowres": LOWRES_PX}
    table.uns["spatial"] = {
        section.name: {
            "images": {name: np.asarray(shrunk(section, px)[0]) for name, px in images.items()},
            "scalefactors": scale_factors(section, SLIDE_MARKS),
            "metadata": {"chemistry_description": "Spatial 3' v1", "software_version": "spaceranger-1.3.1"},
        }
    }
    table.write_h5ad(path, compression="gzip")
