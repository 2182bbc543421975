"""`miso export` of a map as a user meets it: every format, rows over polygons, what does not go together."""

import json
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import shapely
import tifffile

from miso.geometry import Raster
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.store import new_map
from miso.maps.thumbnail import Thumbnail

Run = Callable[..., tuple[int, str, str]]
SIZE_PX = (1792, 1792)


@pytest.fixture
def map_path(tmp_path: Path) -> Path:
    """A map over the phantom's section A1: its cells know their x and y."""
    raster = Raster.over(SIZE_PX, 16.0)
    y, x = np.indices(raster.shape, dtype=np.float32) * 16 + 8
    header = MapHeader(
        genes=("X", "Y"),
        units="px",
        pitch_um=8.0,
        raster=raster,
        slide=SlideRecord(
            name="A1.jpg", path="/A1.jpg", size_px=SIZE_PX, mpp=0.5, mpp_source="test", fingerprint="0"
        ),
        provenance={},
    )
    white = Thumbnail(rgb=np.full((112, 112, 3), 255, np.uint8), slide_size_px=SIZE_PX)
    with new_map(tmp_path / "m.zarr", header, white, np.ones(raster.shape, dtype=np.bool_)) as writer:
        writer.put(0, [np.stack([x, y])])
    return tmp_path / "m.zarr"


@pytest.fixture
def polygons(tmp_path: Path) -> Path:
    file = tmp_path / "drawn.geojson"
    features = [
        {
            "type": "Feature",
            "geometry": json.loads(shapely.to_geojson(shapely.box(x, 160, x + 320, 480))),
            "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
        }
        for x in (160, 800)
    ]
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return file


def test_every_format_is_written_and_said(run_miso: Run, map_path: Path, tmp_path: Path) -> None:
    names = {
        "h5ad": "o.h5ad",
        "parquet": "o.parquet",
        "geojson": "o.geojson",
        "ome-tiff": "o.ome.tif",
        "png": "o",
    }
    for to, name in names.items():
        code, _, told = run_miso("export", map_path, "--to", to, "--genes", "X", "--out", tmp_path / name)
        assert (code, "1 genes, cells of 8 µm (px)" in told.replace("\n", "")) == (0, True), told
        code, _, told = run_miso("export", map_path, "--to", to, "--out", tmp_path / name)
        assert (code, "is there already" in told) == (2, True), to
    assert anndata.read_h5ad(tmp_path / "o.h5ad").shape == (112 * 112, 1)
    assert tifffile.imread(tmp_path / "o.ome.tif").shape == (112, 112)


def test_only_cells_inside_a_region_go_out(
    run_miso: Run, map_path: Path, polygons: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.parquet"
    assert run_miso("export", map_path, "--to", "parquet", "--region", polygons, "--out", out)[0] == 0
    table = pd.read_parquet(out)
    assert len(table) == 2 * 20 * 20
    assert (table["y_px"].min(), table["y_px"].max()) == (168, 472)


@pytest.mark.parametrize("to", ["h5ad", "parquet"])
def test_over_polygons_a_row_is_a_polygon(
    run_miso: Run, map_path: Path, polygons: Path, tmp_path: Path, to: str
) -> None:
    out = tmp_path / f"o.{to}"
    code, _, told = run_miso("export", map_path, "--to", to, "--over", polygons, "--out", out)
    assert (code, "2 rows of means over drawn.geojson" in told.replace("\n", " ")) == (0, True), told
    if to == "h5ad":
        table = anndata.read_h5ad(out)
        assert list(table.obs_names) == ["Tumor", "Tumor-1"]
        np.testing.assert_allclose(table.X, table.obsm["spatial"])
    else:
        read = pd.read_parquet(out)
        np.testing.assert_allclose(read[["X", "Y"]], [[320, 320], [960, 320]])


def test_over_a_sample_a_row_is_a_spot(
    run_miso: Run, map_path: Path, processed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.h5ad"
    assert run_miso("export", map_path, "--to", "h5ad", "--over", processed / "A1", "--out", out)[0] == 0
    table = anndata.read_h5ad(out)
    whole = table[table.obs["covered"] > 0.999]
    assert len(whole) > 8
    np.testing.assert_allclose(whole.X, whole.obsm["spatial"], atol=0.3)


def test_what_does_not_go_together_is_refused_in_a_line(
    run_miso: Run, map_path: Path, polygons: Path, processed: Path, tmp_path: Path
) -> None:
    sample = processed / "A1"
    for words, said in (
        ((map_path, "--to", "csv"), "unknown format 'csv'; known: geojson, h5ad"),
        ((map_path, "--to", "miso-npy"), "is a map and --to miso-npy writes Samples"),
        ((sample, "--to", "miso-npy", "--genes", "X"), "--genes is for maps"),
        ((sample, "--to", "h5ad"), "is a Sample, which goes --to miso-npy"),
        ((map_path, "--to", "png", "--over", polygons), "use --to h5ad or --to parquet"),
        ((map_path, "--to", "h5ad", "--over", polygons, "--region", polygons), "pass one of them"),
        ((map_path, "--to", "h5ad", "--sample", sample), "for means under spots: --over SAMPLE"),
        ((map_path, "--to", "h5ad", "--over", tmp_path / "no.geojson"), "no GeoJSON file at"),
        ((map_path, "--to", "h5ad", "--genes", "Z"), "unknown gene 'Z'"),
        ((tmp_path / "no.zarr", "--to", "h5ad"), "no map at"),
    ):
        code, _, told = run_miso("export", *words, "--out", tmp_path / "x.h5ad")
        assert (code, said in told.replace("\n", " ")) == (2, True), told
        assert len(told.strip().splitlines()) == 1
        assert not (tmp_path / "x.h5ad").exists()


def test_the_help_says_which_format_opens_where(run_miso: Run) -> None:
    code, shown, _ = run_miso("export", "--help")
    assert code == 0
    for word in ("QuPath", "napari", "scanpy", "squidpy", "pandas", "--region", "--over"):
        assert word in shown
