"""SpatialData `.zarr`: slide picture, raster of genes, spots and regions, all in level-0 px as `global`."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from miso.errors import MapError
from miso.maps.aggregate import aggregate, describe
from miso.maps.exchange.formats import Extras, Format, formats
from miso.maps.exchange.view import View
from miso.maps.regions import Region

if TYPE_CHECKING:
    from spatialdata import SpatialData

INSTALL = "pip install 'miso-spatial[spatial]'"
CHUNK = 1024
"""Side of a chunk of the raster, of one gene, in cells."""


def write(view: View, path: Path, extras: Extras) -> None:
    """Write the images `slide` and `expression`, and shapes `spots` and `regions`, each with its table.

    The raster goes over gene by gene; a few genes are held at a time.
    """
    try:
        import spatialdata  # noqa: F401
    except ImportError as err:
        raise MapError(f"to write SpatialData: {INSTALL} ({err})") from err
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, FutureWarning, UserWarning):  # what it asks of others is not ours
            warnings.simplefilter("ignore", kind)
        _store(view, extras).write(path)


def _store(view: View, extras: Extras) -> "SpatialData":
    from spatialdata import SpatialData

    shapes, tables = {}, {}
    for name, regions in (("spots", extras.spots), ("regions", extras.regions)):
        if regions:
            shapes[name] = _shapes(regions)
            tables[f"{name}_expression"] = _table(view, name, regions, extras)
    return SpatialData(
        images={"slide": _slide(view), "expression": _raster(view, extras)},
        shapes=shapes,
        tables=tables,
        attrs={"miso": describe(view.map.header)},
    )


def _slide(view: View) -> Any:
    from spatialdata.models import Image2DModel
    from spatialdata.transformations import Scale

    thumbnail = view.map.thumbnail
    return Image2DModel.parse(
        np.moveaxis(thumbnail.rgb, -1, 0),
        dims=("c", "y", "x"),
        c_coords=["r", "g", "b"],
        transformations={"global": Scale(list(thumbnail.step_xy), axes=("x", "y"))},
    )


def _raster(view: View, extras: Extras) -> Any:
    import dask
    import dask.array
    from spatialdata.models import Image2DModel
    from spatialdata.transformations import Scale, Sequence, Translation

    read = dask.delayed(view.plane, pure=False)
    planes = [
        dask.array.from_delayed(read(gene), view.raster.shape, dtype=np.float32) for gene in view.map.genes
    ]
    step = view.raster.step_px
    onto = [Scale([step, step], axes=("x", "y")), Translation(list(view.corner_xy), axes=("x", "y"))]
    return Image2DModel.parse(
        dask.array.stack(planes).rechunk((1, CHUNK, CHUNK)),
        dims=("c", "y", "x"),
        c_coords=list(view.map.genes),
        transformations={"global": Sequence(onto)},
    )


def _shapes(regions: Sequence[Region]) -> Any:
    import geopandas
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    frame = geopandas.GeoDataFrame(
        {"name": [region.name for region in regions], "kind": [region.kind for region in regions]},
        geometry=[region.polygon for region in regions],
        index=pd.RangeIndex(len(regions)),
    )
    return ShapesModel.parse(frame, transformations={"global": Identity()})


def _table(view: View, name: str, regions: Sequence[Region], extras: Extras) -> Any:
    from spatialdata.models import TableModel

    table = aggregate(view.map, regions, extras.track)
    table.obs["region"] = pd.Categorical([name] * table.n_obs)
    table.obs["instance"] = np.arange(table.n_obs)
    return TableModel.parse(table, region=name, region_key="region", instance_key="instance")


formats.register("spatialdata")(Format(suffixes=(".zarr",), write=write))
