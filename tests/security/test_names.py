"""Names that others gave to genes and sections: markup, parts of paths, and what no file can be called."""

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from miso.errors import CheckpointError, MapError, SampleError
from miso.geometry import Raster
from miso.maps.exchange.export import export_map
from miso.maps.expression_map import ExpressionMap, open_map
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.plot import plot_map
from miso.maps.store import new_map
from miso.maps.thumbnail import Thumbnail
from miso.models.checkpoint import load_checkpoint
from miso.samples import open_sample
from miso.samples.vendors.genes import check_names
from miso.untrusted.names import is_file_name

HOSTILE = (
    "../../outside",
    "/etc/passwd",
    "..",
    "C:\\Windows\\x",
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "&lt;&#0;&",
    "$\\frac{1}{0}$",
    "$x^2",
    "%s%n{0}{name}",
    "CON",
    "-rf",
    "=cmd|' /C calc'!A0",
    "x" * 250,
    "𝔊" * 100,
    " ",
)
UNSHOWABLE = ("a\0b", "a\nb", "a\rb", "\x1b[2J", "\u202egnp.exe", "x" * 5000, "", 5, None, ["A"])


@pytest.fixture
def hostile_map(tmp_path) -> ExpressionMap:
    """A map whose genes, units and slide have such names, in a folder of its own."""
    slide = SlideRecord(
        name="<b>s</b>.svs", path="/../s.svs", size_px=(64, 64), mpp=0.5, mpp_source="<i>", fingerprint="0"
    )
    header = MapHeader(
        genes=HOSTILE,
        units="<u>log1p</u>",
        pitch_um=8.0,
        raster=Raster(origin_xy=(8.0, 8.0), step_px=16.0, shape=(4, 4)),
        slide=slide,
        provenance={"encoder": "<script>"},
    )
    (tmp_path / "in").mkdir()
    small = Thumbnail(rgb=np.zeros((4, 4, 3), np.uint8), slide_size_px=(64, 64))
    with new_map(tmp_path / "in" / "m.zarr", header, small, keep=np.ones((4, 4), np.bool_)) as writer:
        writer.put(0, [np.random.default_rng(0).random((len(HOSTILE), 4, 4), np.float32)])
    return open_map(tmp_path / "in" / "m.zarr")


def outside(tmp_path: Path, *own: str) -> list[str]:
    """What lies in the test's folder that nobody put there on purpose."""
    return sorted(path.name for path in tmp_path.iterdir() if path.name not in own)


def test_pictures_of_genes_with_such_names_lie_in_the_folder_asked_for(hostile_map, tmp_path):
    export_map(hostile_map, "png", tmp_path / "out")
    assert outside(tmp_path, "in", "out") == []
    files = [path for path in (tmp_path / "out").rglob("*") if path.suffix == ".png"]
    assert len(files) == len(HOSTILE)
    assert all(path.parent == tmp_path / "out" for path in files)
    assert all(not path.name.startswith((".", "-")) for path in files)
    placing = json.loads((tmp_path / "out" / "placing.json").read_text())
    assert set(placing["genes"]) == set(HOSTILE)


@pytest.mark.parametrize("form", ["h5ad", "geojson", "parquet", "ome-tiff"])
def test_export_of_genes_with_such_names_holds_them(form, hostile_map, tmp_path):
    suffix = {"ome-tiff": "ome.tif"}.get(form, form)
    path = tmp_path / f"out.{suffix}"
    export_map(hostile_map, form, path)
    assert outside(tmp_path, "in", path.name) == []
    if form == "geojson":
        json.loads(path.read_text())
    if form == "parquet":
        assert set(HOSTILE) <= set(pd.read_parquet(path).columns)


def test_description_of_an_ome_tiff_is_xml_whatever_genes_are_called(hostile_map, tmp_path):
    export_map(hostile_map, "ome-tiff", tmp_path / "o.ome.tif")
    with tifffile.TiffFile(tmp_path / "o.ome.tif") as file:
        root = ET.fromstring(file.ome_metadata)
        names = [each.get("Name") for each in root.iter() if each.tag.endswith("Channel")]
    assert len(names) == len(HOSTILE)
    assert "<img src=x onerror=alert(1)>" in names


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("gene", ["../../outside", "$\\frac{1}{0}$", "$x^2", "%s%n{0}{name}", "x" * 250])
def test_gene_with_such_a_name_is_plotted(gene, hostile_map, tmp_path):
    plot_map(hostile_map, gene, tmp_path / "out.png")
    assert outside(tmp_path, "in", "out.png") == []


@pytest.mark.parametrize("gene", UNSHOWABLE)
def test_map_and_checkpoint_with_a_gene_that_no_file_can_hold_are_refused(
    gene, hostile_map, small_checkpoint_folder
):
    for file, keys, read, error in (
        (hostile_map.path / "zarr.json", ("attributes", "miso"), open_map, MapError),
        (small_checkpoint_folder / "config.json", (), load_checkpoint, CheckpointError),
    ):
        said = inner = json.loads(file.read_text())
        for key in keys:
            inner = inner[key]
        inner["genes"][0] = gene
        said.pop("consolidated_metadata", None)
        file.write_text(json.dumps(said))
        with pytest.raises(error) as caught:
            read(file.parent)
        assert len(str(caught.value).splitlines()) == 1
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", [*HOSTILE[:4], "a\0b", "a\nb", "x" * 5000, "", ".hidden", "a/b", 5, None, ["A1"]]
)
def test_sample_that_names_itself_so_is_refused(name, processed, tmp_path):
    folder = tmp_path / "A1"
    shutil.copytree(processed / "A1", folder)
    manifest = json.loads((folder / "sample.json").read_text())
    (folder / "sample.json").write_text(json.dumps({**manifest, "name": name}))
    with pytest.raises(SampleError) as caught:
        open_sample(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_names_of_sections_in_use_can_name_files():
    for name in (
        "A1",
        "C5",
        "V1_Human Brain",
        "V1_Mouse_Brain_Sagittal_Posterior",
        "Schnitt_ä-2.b",
        "blobs:1",
    ):
        assert is_file_name(name)


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "a\rb", "a\tb", "\x1b[2J", "\ud800", "\u202ea"])
def test_names_of_genes_that_no_file_can_hold_are_refused(name):
    with pytest.raises(SampleError) as caught:
        check_names(["KRT8", name], "gene", Path("x.h5"))
    assert str(caught.value).isprintable()
