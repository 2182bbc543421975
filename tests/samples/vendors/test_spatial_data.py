"""SpatialData stores: spots land on the pixels that transformations say, whatever their names and frames."""

import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from miso.errors import SampleError
from miso.samples.vendors.scverse.spatial_data import is_spatial_data, read_spatial_data
from miso.samples.vendors.section import VendorOptions
from miso.slides import open_slide

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sd = pytest.importorskip("spatialdata", reason="the extra 'spatial' is not installed")

OPTIONS = VendorOptions()
FULL_PX = (900, 760)


@dataclass
class Store:
    """20 Visium spots, 160 px apart in the image's pixels (0.625 µm/px); change its parts, then `write`."""

    at: Path
    images: dict[str, object] = field(default_factory=dict)
    tables: dict[str, object] = field(default_factory=dict)
    shapes: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        row, col = np.repeat(np.arange(4), 5), np.tile(np.arange(5) * 2, 4)
        col = col + row % 2
        self.center_xy = np.stack([col * 80.0 + 90, row * 160 * np.sqrt(0.75) + 100], axis=1)
        self.row, self.col = row, col
        self.pixels = np.random.default_rng(0).integers(0, 256, (3, *FULL_PX[::-1]), dtype=np.uint8)
        self.counts = np.stack([np.arange(20) + 1, np.arange(20) % 3], axis=1).astype(np.float32)

    def image(self, name: str = "S1_full_image", pixels: np.ndarray | None = None, **frames: object) -> None:
        """Add an image; frames are coordinate systems with the transformation into them."""
        from spatialdata.models import Image2DModel
        from spatialdata.transformations import Identity

        self.images[name] = Image2DModel.parse(
            self.pixels if pixels is None else pixels,
            dims=("c", "y", "x"),
            c_coords=None if pixels is not None and len(pixels) != 3 else ["r", "g", "b"],
            scale_factors=[2],
            transformations=frames or {"global": Identity()},
        )

    def spots(self, name: str = "S1", center_xy: np.ndarray | None = None, **frames: object) -> None:
        """Add circles, in their own frame, with a table that annotates them in reverse order."""
        from spatialdata.models import ShapesModel
        from spatialdata.transformations import Identity

        self.shapes[name] = ShapesModel.parse(
            self.center_xy if center_xy is None else center_xy,
            geometry=0,
            radius=52.0,
            index=np.arange(20) + 100,
            transformations=frames or {"global": Identity()},
        )
        self.table(name, name if self.tables else "table")

    def table(self, region: str, name: str) -> None:
        """Add a table on a region."""
        from spatialdata.models import TableModel

        obs = pd.DataFrame(
            {
                "region": pd.Categorical([region] * 20),
                "spot_id": np.arange(20) + 100,
                "array_row": self.row,
                "array_col": self.col,
                "in_tissue": (np.arange(20) < 18).astype(int),
            },
            index=[f"ACGT-{i}" for i in range(20)],
        )
        var = pd.DataFrame({"gene_ids": ["ENSG00000000001", "ENSG00000000002"]}, index=["A", "B"])
        adata = anndata.AnnData(X=csr_matrix(self.counts), obs=obs, var=var)[::-1].copy()
        self.tables[name] = TableModel.parse(
            adata, region=region, region_key="region", instance_key="spot_id"
        )

    def write(self) -> Path:
        """Write the store."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sd.SpatialData(images=self.images, shapes=self.shapes, tables=self.tables).write(self.at)
        return self.at


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "s.zarr")


def test_spots_counts_and_image_are_read(store):
    store.image()
    store.spots()
    section = read_spatial_data(store.write(), OPTIONS)
    spots = section.spots
    assert (section.name, section.layout) == ("S1", "SpatialData (Visium)")
    assert spots.barcodes == [f"ACGT-{i}" for i in range(17, -1, -1)]  # the table's own order
    np.testing.assert_allclose(spots.center_xy, store.center_xy[:18][::-1])
    np.testing.assert_array_equal(spots.counts.toarray(), store.counts[:18][::-1])
    assert (spots.genes, spots.gene_ids) == (["A", "B"], ["ENSG00000000001", "ENSG00000000002"])
    assert section.resolutions[0].mpp == pytest.approx(100 / 160)
    assert (section.full_size_px, section.image.name) == (FULL_PX, "S1_full_image")
    assert spots.notes == ["2 of 20 spots are not in the tissue and were left out"]
    with open_slide(section.image, section.resolutions[0]) as slide:
        assert [level.downsample for level in slide.levels] == [1, 2]
        tile = slide.read((100, 200), (300, 250), slide.mpp)
        np.testing.assert_array_equal(tile, store.pixels.transpose(1, 2, 0)[200:450, 100:400])


def test_spots_in_a_frame_of_their_own_land_on_the_images_pixels(store):
    from spatialdata.transformations import Affine, Scale, Sequence, Translation

    turn = np.array([[0.0, -0.5, 700.0], [0.5, 0.0, 30.0], [0.0, 0.0, 1.0]])  # a quarter turn, half the size
    own = (np.column_stack([store.center_xy, np.ones(20)]) @ np.linalg.inv(turn).T)[:, :2]
    moved = Sequence([Scale([2.0, 2.0], ("x", "y")), Translation([5.0, -7.0], ("x", "y"))])
    store.image(slide=moved)
    to_slide = np.array([[2.0, 0, 5], [0, 2.0, -7], [0, 0, 1]]) @ turn
    store.spots("S1", own, slide=Affine(to_slide, ("x", "y"), ("x", "y")))
    section = read_spatial_data(store.write(), OPTIONS)
    np.testing.assert_allclose(section.spots.center_xy, store.center_xy[:18][::-1], atol=1e-6)
    assert section.resolutions[0].mpp == pytest.approx(100 / 160)


def test_the_small_pictures_are_not_the_image(store):
    from spatialdata.transformations import Scale

    store.image()
    store.image("S1_hires_image", store.pixels[:, ::4, ::4], **{"global": Scale([4.0, 4.0], ("x", "y"))})
    store.spots()
    section = read_spatial_data(store.write(), OPTIONS)
    assert section.image.name == "S1_full_image"
    (small,) = section.pictures
    assert (small.name, small.size_px, small.scale) == ("S1_hires_image", (225, 190), 0.25)


def test_a_store_with_small_pictures_only_has_no_image(store):
    from spatialdata.transformations import Scale

    store.image("S1_lowres_image", store.pixels[:, ::4, ::4], **{"global": Scale([4.0, 4.0], ("x", "y"))})
    store.spots()
    section = read_spatial_data(store.write(), OPTIONS)
    assert (section.image, section.full_size_px) == (None, None)
    assert section.pictures[0].scale == 0.25
    np.testing.assert_allclose(section.spots.center_xy, store.center_xy[:18][::-1])
    assert any("no full-resolution image" in note for note in section.spots.notes)


def test_an_image_that_is_no_colour_image_is_passed_over_and_said(store):
    store.image()
    store.image("S1_dapi", store.pixels[:1])
    store.spots()
    section = read_spatial_data(store.write(), OPTIONS)
    assert section.image.name == "S1_full_image"
    assert any("the image S1_dapi was passed over" in note for note in section.spots.notes)


def test_an_image_in_another_frame_does_not_count(store):
    from spatialdata.transformations import Identity

    store.image()
    store.image("S2_full_image", elsewhere=Identity())
    store.spots()
    assert read_spatial_data(store.write(), OPTIONS).image.name == "S1_full_image"


def test_two_images_of_one_scale_are_listed(store):
    store.image("one")
    store.image("two")
    store.spots()
    with pytest.raises(SampleError, match="has 2 images on which 'S1' lies: one, two"):
        read_spatial_data(store.write(), OPTIONS)


def test_a_frame_in_micrometres_is_a_second_word_on_the_resolution(store):
    from spatialdata.transformations import Identity, Scale

    store.image("S1_full_image", microns=Scale([0.625, 0.625], ("x", "y")), **{"global": Identity()})
    store.spots()
    found = read_spatial_data(store.write(), OPTIONS).resolutions
    assert [resolution.mpp for resolution in found] == pytest.approx([0.625, 0.625])
    assert found[1].source == "coordinate system 'microns'"


def test_one_section_of_several_is_chosen(store):
    store.image()
    store.spots("S1")
    store.spots("S2", store.center_xy + 5)
    path = store.write()
    with pytest.raises(SampleError, match=r"holds 2 sections or bin sizes: S2, table on S1; choose with"):
        read_spatial_data(path, OPTIONS)
    section = read_spatial_data(path, VendorOptions(library="S2"))
    np.testing.assert_allclose(section.spots.center_xy, store.center_xy[:18][::-1] + 5)
    with pytest.raises(SampleError, match="unknown library 'S3'"):
        read_spatial_data(path, VendorOptions(library="S3"))


def test_bins_are_chosen_by_their_size(store):
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    store.image()
    store.row, store.col = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    for side in (8, 16):
        xy = np.stack([store.col, store.row], axis=1) * side * 2.0 + 50
        name = f"S1_square_{side:03d}um"
        store.shapes[name] = ShapesModel.parse(
            xy,
            geometry=0,
            radius=float(side),
            index=np.arange(20) + 100,
            transformations={"global": Identity()},
        )
        store.table(name, f"square_{side:03d}um")
    path = store.write()
    section = read_spatial_data(path, VendorOptions(bin_um=8))
    assert (section.spots.shape, section.spots.diameter_um, section.spots.pitch_um) == ("square", 8, 8)
    assert section.resolutions[0].mpp == pytest.approx(0.5)
    with pytest.raises(SampleError, match="no table named after square_002um"):
        read_spatial_data(path, VendorOptions(bin_um=2))


def test_a_table_on_no_shapes_is_refused(store):
    store.image()
    path = store.write()
    (path / "tables").mkdir(exist_ok=True)
    with pytest.raises(SampleError, match=r"has no table of counts on spots .*tables: none"):
        read_spatial_data(path, OPTIONS)


def test_rows_without_a_shape_are_named(store):
    store.image()
    store.spots()
    store.shapes["S1"] = store.shapes["S1"].iloc[:15]
    path = store.write()
    with pytest.raises(SampleError, match="5 of 20 rows of the table 'table' name no shape of 'S1'"):
        read_spatial_data(path, OPTIONS)


def test_without_the_extra_one_line_says_how_to_install_it(store, monkeypatch):
    store.image()
    store.spots()
    path = store.write()
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(SampleError, match=r'to read it: pip install "miso-spatial\[spatial\]"'):
        read_spatial_data(path, OPTIONS)


def test_lost_chunks_are_told(store):
    store.pixels = np.random.default_rng(0).integers(0, 256, (3, 1500, 1500), dtype=np.uint8)
    store.image()
    store.spots()
    path = store.write()
    next(file for file in (path / "images/S1_full_image/s0/c").rglob("*") if file.is_file()).unlink()
    notes = read_spatial_data(path, OPTIONS).spots.notes
    assert any("1 chunks of the image S1_full_image are absent" in note for note in notes)


def test_a_store_is_known_by_its_parts(store, tmp_path):
    store.image()
    store.spots()
    assert is_spatial_data(store.write())
    assert not is_spatial_data(store.at / "images" / "S1_full_image")
    assert not is_spatial_data(tmp_path)


def test_a_text_that_claims_to_be_many_is_refused_before_memory_is_taken(store):
    import numcodecs

    store.image()
    store.spots()
    path = store.write()
    chunk = path / "tables/table/obs/region/categories/c/0"
    codec = numcodecs.zstd.Zstd()
    content = bytearray(codec.decode(chunk.read_bytes()))
    content[3] = 0x7F
    chunk.write_bytes(codec.encode(bytes(content)))
    with pytest.raises(SampleError, match="is damaged: it claims 2,130,706,433 texts, not 1"):
        read_spatial_data(path, OPTIONS)


def test_flipped_bits_and_cuts_give_one_line_or_a_section(store, spoil, refusal):
    store.image()
    store.spots()
    files = sorted(file for file in store.write().rglob("*") if file.is_file() and "/c/" not in str(file))
    for trial in range(25):
        path = files[trial * 7 % len(files)]
        whole = path.read_bytes()
        path.write_bytes(spoil(whole, trial))
        assert "\n" not in refusal(lambda: read_spatial_data(store.at, OPTIONS))
        path.write_bytes(whole)
