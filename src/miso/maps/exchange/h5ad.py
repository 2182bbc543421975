"""AnnData (`.h5ad`), a row a cell that was seen: written block by block, so that no table is ever held."""

from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem

from miso.maps.aggregate import describe
from miso.maps.exchange.formats import Extras, Format, formats
from miso.maps.exchange.view import Block, View
from miso.maps.expression_map import ExpressionMap

CHUNK_VALUES = 1 << 18
"""Values of a chunk of `X`, of all genes."""
ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}
STRINGS = {"encoding-type": "string-array", "encoding-version": "0.2.0"}
FRAME = {"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"}
ROOT = {"encoding-type": "anndata", "encoding-version": "0.1.0"}
"""Marks of AnnData's format, which is written by hand where it has to grow."""


def write(view: View, path: Path, extras: Extras) -> None:
    """Write `X`, `obs` row and col on the map, `obsm["spatial"]` centres in level-0 px, and a picture."""
    with h5py.File(path, "w") as file:
        file.attrs.update(ROOT)
        grown = _grown(file, len(view.map))
        for block in view.blocks(extras.track, "writing cells"):
            _append(grown, block)
        genes = pd.DataFrame(index=pd.Index(view.map.genes, dtype=object))
        for name in ("layers", "obsp", "varm", "varp"):
            write_elem(file, name, {})
        write_elem(file, "var", genes)
        about = {"miso": describe(view.map.header), "spatial": _spatial(view.map)}
        write_elem(file, "uns", about)


def write_regions(table: anndata.AnnData, path: Path) -> None:
    """Write the table as it is."""
    table.write_h5ad(path, compression="gzip")


def _grown(file: h5py.File, n_genes: int) -> dict[str, h5py.Dataset]:
    """Make the empty arrays that have an entry a cell."""
    rows = max(CHUNK_VALUES // max(n_genes, 1), 1)
    obs, obsm = file.create_group("obs"), file.create_group("obsm")
    obs.attrs.update(FRAME)
    obs.attrs["column-order"] = np.array(["row", "col"], dtype=h5py.string_dtype())
    obsm.attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    kinds: list[tuple[h5py.Group, str, tuple[int, ...], Any]] = [
        (file, "X", (n_genes,), np.float32),
        (obs, "row", (), np.int32),
        (obs, "col", (), np.int32),
        (obs, "_index", (), h5py.string_dtype()),
        (obsm, "spatial", (2,), np.float64),
    ]
    made = {}
    for group, name, rest, dtype in kinds:
        chunk = rows if name == "X" else CHUNK_VALUES // 8
        made[name] = group.create_dataset(
            name,
            shape=(0, *rest),
            maxshape=(None, *rest),
            chunks=(chunk, *rest),
            dtype=dtype,
            compression="gzip",
            compression_opts=1,
            shuffle=name != "_index",
        )
        made[name].attrs.update(STRINGS if name == "_index" else ARRAY)
    return made


def _append(grown: dict[str, h5py.Dataset], block: Block) -> None:
    names = [f"{row}_{col}" for row, col in zip(block.row.tolist(), block.column.tolist(), strict=True)]
    new = {
        "X": block.values,
        "row": block.row,
        "col": block.column,
        "_index": names,
        "spatial": block.center_xy,
    }
    for name, values in new.items():
        held = len(grown[name])
        grown[name].resize(held + len(block), axis=0)
        grown[name][held:] = values


def _spatial(map_: ExpressionMap) -> dict[str, Any]:
    """Describe the slide as Space Ranger's readers do, which scanpy and squidpy plot by."""
    record = {
        "images": {"hires": map_.thumbnail.rgb},
        "scalefactors": {
            "spot_diameter_fullres": map_.raster.step_px,
            "tissue_hires_scalef": 1 / map_.thumbnail.step_xy[0],
        },
        "metadata": {"mpp": map_.header.slide.mpp},
    }
    return {map_.header.slide.name.replace("/", "_") or "slide": record}


formats.register("h5ad")(Format(suffixes=(".h5ad",), write=write, write_regions=write_regions))
