"""A Parquet file of a map opens in pandas: where each cell lies, and a column a gene."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from miso.errors import MapError
from miso.maps.exchange import export_map, export_regions
from miso.maps.exchange import view as view_module


def test_pandas_reads_a_row_a_cell(marked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "BLOCK_VALUES", 240)  # four rows of the map
    export_map(marked.map, "parquet", tmp_path / "m.parquet")
    table = pd.read_parquet(tmp_path / "m.parquet")
    assert list(table) == ["row", "col", "x_px", "y_px", "X", "Y", "HOT"]
    assert len(table) == 27 * 20
    np.testing.assert_allclose(table["X"], table["x_px"], rtol=1e-6)
    (hot,) = table[table["HOT"] == 9].itertuples()
    assert (hot.row, hot.col, hot.x_px, hot.y_px) == (7, 11, *marked.hot_xy)
    assert np.isnan(table["Y"].iloc[-1])
    assert table["HOT"].dtype == np.float32


def test_it_is_written_block_by_block_and_says_what_it_is(
    marked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "BLOCK_VALUES", 240)
    export_map(marked.map, "parquet", tmp_path / "m.parquet", genes=["Y"], regions=[marked.region])
    file = pq.ParquetFile(tmp_path / "m.parquet")
    assert file.num_row_groups > 1 or file.metadata.num_rows == 25
    said = json.loads(file.schema_arrow.metadata[b"miso"])
    assert (said["units"], said["step_px"]) == ("log1p CP10k", 16.5)


def test_means_over_regions_stand_beside_what_the_regions_are(marked, tmp_path: Path) -> None:
    export_regions(marked.map, "parquet", tmp_path / "o.parquet", [marked.region], genes=["HOT"])
    table = pd.read_parquet(tmp_path / "o.parquet")
    assert list(table) == ["region", "name", "kind", "area_um2", "covered", "x_px", "y_px", "HOT"]
    assert table["region"].item() == "about"
    np.testing.assert_allclose(table["HOT"].item(), 9 / (4.5 * 5.6), rtol=1e-5)


def test_a_gene_called_like_a_column_is_refused(map_of, tmp_path: Path) -> None:
    with pytest.raises(MapError, match="gene 'row' has the name of a column"):
        export_map(map_of({"row": np.ones((4, 4), np.float32)}), "parquet", tmp_path / "m.parquet")
