"""A pyramidal OME-TIFF opens in tifffile and libvips: genes as channels, sizes in µm, each level in place."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
import tifffile

from miso.maps.exchange import export_map
from miso.maps.exchange.ome_tiff import _halved


@pytest.fixture
def tall(map_of):
    """600 × 301 cells of 8 px: X and Y are centres, the first 40 rows were not seen, one cell shines."""
    x, y = np.meshgrid((np.arange(301) + 0.5) * 8, (np.arange(600) + 0.5) * 8)
    hot = np.zeros((600, 301))
    hot[500:508, 200:208] = 9
    planes = {"X": x, "Y": y, "HOT": hot}
    for plane in planes.values():
        plane[:40] = np.nan
    small = np.zeros((2, 2, 3), np.uint8)
    return map_of({g: p.astype(np.float32) for g, p in planes.items()}, step_px=8.0, thumbnail=small)


def test_channels_are_genes_with_sizes_in_um_and_the_exact_values(tall, tmp_path: Path) -> None:
    export_map(tall, "ome-tiff", tmp_path / "m.ome.tif")
    with tifffile.TiffFile(tmp_path / "m.ome.tif") as file:
        assert file.is_ome
        series = file.series[0]
        assert (series.axes, series.shape, series.dtype) == ("CYX", (3, 600, 301), np.float32)
        page = series.pages[0]
        assert page.is_tiled
        assert page.tile == (256, 256)
        for index, gene in enumerate(tall):
            np.testing.assert_array_equal(series.asarray()[index], tall[gene])
        root = ElementTree.fromstring(file.ome_metadata)
    space = {"o": root.tag[1 : root.tag.index("}")]}
    pixels = root.find(".//o:Pixels", space)
    assert [pixels.get(f"PhysicalSize{a}") for a in "XY"] == ["4.0", "4.0"]
    assert [pixels.get(f"PhysicalSize{a}Unit") for a in "XY"] == ["µm", "µm"]
    assert [channel.get("Name") for channel in pixels.findall("o:Channel", space)] == ["X", "Y", "HOT"]
    plane = pixels.find("o:Plane", space)
    assert (plane.get("PositionX"), plane.get("PositionXUnit")) == ("2.0", "µm")  # the first cell's centre
    said = root.find(".//o:Description", space).text
    assert "top-left corner lies at (0, 0) px and a cell is 8 px" in said


def test_every_level_of_the_pyramid_has_the_same_things_at_the_same_place(tall, tmp_path: Path) -> None:
    export_map(tall, "ome-tiff", tmp_path / "m.ome.tif")
    with tifffile.TiffFile(tmp_path / "m.ome.tif") as file:
        levels = [level.asarray() for level in file.series[0].levels]
    assert [level.shape for level in levels] == [(3, 600, 301), (3, 300, 151), (3, 150, 76)]
    for number, (x, y, hot) in enumerate(levels):
        step = 8 * 2**number
        row, column = np.argwhere(hot == 9).mean(axis=0) + 0.5
        assert (column * step, row * step) == pytest.approx((204 * 8, 504 * 8), abs=1)
        np.testing.assert_allclose(x[-1, :-1], (np.arange(x.shape[1] - 1) + 0.5) * step, rtol=1e-6)
        np.testing.assert_allclose(y[45:, 0], (np.arange(45, len(y)) + 0.5) * step, rtol=1e-6)
        assert np.isnan(hot[: 40 // 2**number]).all()


def test_halving_leaves_unseen_cells_out_and_keeps_odd_borders() -> None:
    plane = np.array([[1, 3, 5], [np.nan, 5, np.nan], [np.nan, np.nan, 7]], dtype=np.float32)
    np.testing.assert_array_equal(_halved(plane), [[3, 5], [np.nan, 7]])


def test_libvips_reads_genes_as_pages_and_levels_as_subifds(tall, tmp_path: Path) -> None:
    export_map(tall, "ome-tiff", tmp_path / "m.ome.tif", genes=["HOT", "X"])
    page = pyvips.Image.new_from_file(str(tmp_path / "m.ome.tif"), page=1)
    np.testing.assert_array_equal(page.numpy(), tall["X"])
    assert page.xres == pytest.approx(1000 / 4.0)  # pixels a mm
    half = pyvips.Image.new_from_file(str(tmp_path / "m.ome.tif"), page=0, subifd=0)
    assert (half.width, half.height) == (151, 300)


def test_a_region_is_cut_out_and_its_place_stated(marked, tmp_path: Path) -> None:
    export_map(marked.map, "ome-tiff", tmp_path / "r.ome.tif", regions=[marked.region])
    with tifffile.TiffFile(tmp_path / "r.ome.tif") as file:
        image = file.series[0].asarray()
        root = ElementTree.fromstring(file.ome_metadata)
    plane = root.find(".//o:Plane", {"o": root.tag[1 : root.tag.index("}")]})
    first = np.array([float(plane.get("PositionX")), float(plane.get("PositionY"))]) / 0.5  # px of the slide
    row, column = np.argwhere(image[2] == 9)[0]
    assert np.abs(first + np.array([column, row]) * marked.step - marked.hot_xy).max() < 1
