"""A SpatialData `.zarr` of a Visium section: picture, spots as circles, and the table of their molecules."""

import warnings
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from miso.errors import ConfigError
from miso.phantom.cohort import Section
from miso.phantom.layouts.anndata_file import as_anndata
from miso.phantom.layouts.layout import Delivery, Piece
from miso.phantom.layouts.pictures import full_picture
from miso.phantom.layouts.spatial import SLIDE_MARKS


def pieces(section: Section, delivery: Delivery) -> Iterator[Piece]:
    """Write the store, which holds the picture too, and the picture again by itself."""
    if find_spec("spatialdata") is None:
        raise ConfigError(
            "the layout 'spatialdata' needs the package spatialdata; pip install 'miso-spatial[spatial]'"
        )
    yield f"{section.name}/{section.name}.zarr", partial(_write, section=section, delivery=delivery)
    yield full_picture(section, delivery, f"images/{section.name}")


def _write(path: Path, section: Section, delivery: Delivery) -> None:
    """Name the elements as the reader of Space Ranger folders in spatialdata-io does."""
    from spatialdata import SpatialData
    from spatialdata.models import Image2DModel, ShapesModel, TableModel
    from spatialdata.transformations import Identity

    table, name = as_anndata(section, delivery), section.name
    table.obs["region"] = pd.Categorical([name] * table.n_obs)
    table.obs["spot_id"] = np.arange(table.n_obs)
    everywhere = {"global": Identity()}
    image = Image2DModel.parse(
        np.moveaxis(section.image, -1, 0), dims=("c", "y", "x"), c_coords=("r", "g", "b"),
        scale_factors=[2, 2], transformations=everywhere,
    )  # fmt: skip
    circles = ShapesModel.parse(
        np.asarray(table.obsm["spatial"], dtype=np.float64), geometry=0,
        index=table.obs["spot_id"].to_numpy(),
        radius=SLIDE_MARKS.spot_um / section.truth.mpp / 2, transformations=everywhere,
    )  # fmt: skip
    model = TableModel.parse(table, region=name, region_key="region", instance_key="spot_id")
    store = SpatialData(images={f"{name}_full_image": image}, shapes={name: circles}, tables={"table": model})
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # what it asks of its own dependencies is not ours
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "zarr v3 autosharding", UserWarning)
        store.write(path)
