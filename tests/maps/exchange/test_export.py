"""Whatever the format: nothing is overwritten, nothing half is left, and a wrong name is met in one line."""

from pathlib import Path

import numpy as np
import pytest

from miso.errors import MapError, RegionError
from miso.maps import ExpressionMap
from miso.maps.exchange import export_map, export_regions, view
from miso.maps.exchange.formats import formats
from miso.maps.exchange.view import view as view_of
from miso.maps.regions import Region

NAMES = {
    "geojson": "m.geojson",
    "h5ad": "m.h5ad",
    "ome-tiff": "m.ome.tif",
    "parquet": "m.parquet",
    "png": "m",
    "spatialdata": "m.zarr",
}


def test_the_formats_are_these() -> None:
    assert list(formats) == sorted(NAMES)


@pytest.mark.parametrize("to", sorted(NAMES))
def test_what_is_there_is_not_overwritten(marked, tmp_path: Path, to: str) -> None:
    out = tmp_path / "out" / NAMES[to]
    out.parent.mkdir()
    out.write_text("mine")
    with pytest.raises(MapError, match="is there already; remove it or choose another name"):
        export_map(marked.map, to, out)
    assert out.read_text() == "mine"
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("to", sorted(set(NAMES) - {"spatialdata"}))
def test_an_export_that_breaks_off_leaves_nothing(
    marked, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ExpressionMap, "planes", stop)
    monkeypatch.setattr(ExpressionMap, "part", stop)
    with pytest.raises(KeyboardInterrupt):
        export_map(marked.map, to, tmp_path / "out" / NAMES[to])
    assert not list((tmp_path / "out").iterdir())


def test_names_genes_formats_and_regions_that_do_not_fit_are_refused(marked, tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"'m.tif' is no name for ome-tiff; it ends in .ome.tif or .ome.tiff"):
        export_map(marked.map, "ome-tiff", tmp_path / "m.tif")
    with pytest.raises(MapError, match="png writes a folder"):
        export_map(marked.map, "png", tmp_path / "m.png")
    with pytest.raises(MapError, match="unknown format 'h5ads'; did you mean 'h5ad'"):
        export_map(marked.map, "h5ads", tmp_path / "m.h5ad")
    with pytest.raises(MapError, match="unknown gene 'Z'"):
        export_map(marked.map, "h5ad", tmp_path / "m.h5ad", genes=["X", "Z"])
    with pytest.raises(MapError, match="means over regions go to h5ad or parquet"):
        export_regions(marked.map, "geojson", tmp_path / "m.geojson", [marked.region])
    far = Region(name="far", polygon=marked.region.polygon.__class__([(1e6, 0), (2e6, 0), (2e6, 9)]))
    with pytest.raises(RegionError, match="off the slide"):
        export_map(marked.map, "h5ad", tmp_path / "m.h5ad", regions=[far])
    assert [each.name for each in tmp_path.iterdir()] == ["m.zarr"]


def test_a_view_keeps_cells_half_inside_and_their_places(marked) -> None:
    chosen = view_of(marked.map, ["HOT"], [marked.region])
    plane = chosen.plane("HOT")
    rows, columns = np.nonzero(np.isfinite(plane))
    top, left = chosen.window.rows.start, chosen.window.columns.start
    assert (rows.min() + top, rows.max() + top) == (5, 9)  # 40 % of row 4 is inside, and 20 % of row 10
    assert (columns.min() + left, columns.max() + left) == (9, 13)  # exactly half of column 9
    hot = np.argwhere(plane == 9)
    np.testing.assert_allclose(chosen.raster.centers_xy(hot[:, 0], hot[:, 1]), [marked.hot_xy])


@pytest.mark.parametrize("limit", [1, 200, 1 << 25])
def test_blocks_hold_every_seen_cell_once_whatever_their_size(
    marked, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "BLOCK_VALUES", limit)
    blocks = list(view_of(marked.map).blocks(lambda each, *_: each, ""))
    assert len(blocks) == {1: 27, 200: 14, 1 << 25: 1}[limit]
    np.testing.assert_array_equal(np.concatenate([b.row for b in blocks]), np.repeat(np.arange(3, 30), 20))
    np.testing.assert_array_equal(np.concatenate([b.column for b in blocks]), np.tile(np.arange(20), 27))
    values, xy = (np.concatenate([getattr(b, name) for b in blocks]) for name in ("values", "center_xy"))
    np.testing.assert_allclose(values[:-1, :2], xy[:-1], rtol=1e-6)
