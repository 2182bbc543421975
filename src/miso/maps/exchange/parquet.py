"""Parquet, a row a cell that was seen: row, col, x_px, y_px and a column a gene; a row group a block."""

import json
from pathlib import Path
from typing import Any

import anndata
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from miso.errors import MapError
from miso.maps.aggregate import describe
from miso.maps.exchange.formats import Extras, Format, formats
from miso.maps.exchange.view import View

PLACE = {"row": pa.int32(), "col": pa.int32(), "x_px": pa.float64(), "y_px": pa.float64()}
"""Columns before the genes: the cell on the map, and its centre in level-0 px."""


def write(view: View, path: Path, extras: Extras) -> None:
    """Write the cells; the file's metadata say of which map, as JSON under `miso`."""
    genes = view.map.genes
    _check_names(genes, PLACE)
    said = describe(view.map.header)
    fields = [*PLACE.items(), *((gene, pa.float32()) for gene in genes)]
    schema = pa.schema(fields, metadata={"miso": json.dumps(said)})
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for block in view.blocks(extras.track, "writing cells"):
            place = [block.row, block.column, block.center_xy[:, 0], block.center_xy[:, 1]]
            columns = [*place, *block.values.T]
            arrays = [pa.array(each, type=field.type) for each, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def write_regions(table: anndata.AnnData, path: Path) -> None:
    """Write name, kind, area_um2, covered, x_px and y_px of the regions, and a column a gene."""
    _check_names(tuple(table.var_names), dict.fromkeys(table.obs))
    values = pd.DataFrame(table.X, index=table.obs_names, columns=table.var_names)
    frame = pd.concat([table.obs, values], axis=1).rename_axis("region").reset_index()
    written = pa.Table.from_pandas(frame, preserve_index=False)
    said = json.dumps(dict(table.uns["miso"]))
    pq.write_table(written.replace_schema_metadata({"miso": said}), path, compression="zstd")


def _check_names(genes: tuple[str, ...], taken: dict[str, Any]) -> None:
    if clash := [gene for gene in genes if gene in taken]:
        raise MapError(f"gene {clash[0]!r} has the name of a column that says where a row lies; use h5ad")


formats.register("parquet")(Format(suffixes=(".parquet",), write=write, write_regions=write_regions))
