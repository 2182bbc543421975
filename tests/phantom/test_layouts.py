"""Every vendor's layout, read back by plain code: molecules, places, pictures and what is said of them."""

import gzip
import json
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import openslide
import pandas as pd
import pytest
from PIL import Image
from scipy.io import mmread
from scipy.sparse import csc_array

import miso.phantom.write as writing
from miso.errors import ConfigError, SampleError
from miso.geometry import lattice_pitch_px
from miso.phantom import PhantomSpec, make_section, open_truth, write_phantom
from miso.phantom.layouts import space_ranger, spatial_data
from miso.phantom.layouts.catalog import LAYOUTS
from miso.phantom.layouts.pictures import shrunk

SPEC = PhantomSpec(
    seed=4, n_patients=1, n_sections=1, size_um=640, n_visible=6, n_null=2, depth=2, array="visium"
)
LEGACY, HD = replace(SPEC, array="st"), replace(SPEC, array="hd", size_um=500)
SITES = np.array([[x, y] for y in range(78) for x in range(y % 2, 128, 2)])
needs_spatialdata = pytest.mark.skipif(
    find_spec("spatialdata") is None, reason="spatialdata is not installed"
)


@pytest.fixture(scope="module")
def visium():
    return make_section(SPEC, 0, 0)


@pytest.fixture(scope="module")
def hd():
    return make_section(HD, 0, 0)


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Write a cohort once for all tests of this file, and give its folder; sections are made once too."""
    written = {}
    patch = pytest.MonkeyPatch()
    patch.setattr(writing, "make_section", cache(make_section))

    def write_once(layout, spec=SPEC, **options):
        key = (layout, *options.items())
        if key not in written:
            written[key] = write_phantom(spec, tmp_path_factory.mktemp("cohort") / layout, layout, **options)
        return written[key]

    yield write_once
    patch.undo()


def read_h5(path):
    """Molecules by barcode and feature, and the features, by h5py alone."""
    with h5py.File(path) as file:
        matrix = file["matrix"]
        parts = (matrix["data"][:], matrix["indices"][:], matrix["indptr"][:])
        counts = csc_array(parts, shape=tuple(matrix["shape"][:])).toarray().T
        features = {
            name: column.astype(str) if column.dtype.kind == "S" else column
            for name, column in (
                (n, d[:]) for n, d in matrix["features"].items() if isinstance(d, h5py.Dataset)
            )
            if name != "_all_tag_keys"
        }
        barcodes = matrix["barcodes"].asstr()[:]
    return pd.DataFrame(counts, index=barcodes), pd.DataFrame(features)


def expected(section):
    """Molecules of the counted spots by barcode."""
    names = section.spots.names[section.counted]
    return pd.DataFrame(section.counts[section.counted], index=names).sort_index()


def same_counts(found, section):
    wanted = expected(section)
    assert list(found.index) == list(wanted.index)
    np.testing.assert_array_equal(found.to_numpy(), wanted.to_numpy())


# --- Space Ranger ---


def test_space_ranger_1_holds_the_molecules_by_barcode(write, visium):
    counts, features = read_h5(write("space-ranger-1") / "A1/outs/filtered_feature_bc_matrix.h5")
    same_counts(counts, visium)
    assert tuple(features["name"]) == visium.truth.genes
    assert features["id"].str.fullmatch(r"ENSG99\d{9}").all()
    assert features["id"].is_unique
    assert set(features["feature_type"]) == {"Gene Expression"}


def test_an_h5_says_what_made_it(write):
    with h5py.File(write("space-ranger-1") / "A1/outs/filtered_feature_bc_matrix.h5") as file:
        assert file.attrs["software_version"] == "spaceranger-1.3.1"
        assert file.attrs["filetype"] == "matrix"
        assert file.attrs["version"] == 2
        assert file["matrix/barcodes"].dtype == "S18"
        assert file["matrix/features/_all_tag_keys"][0] == b"genome"


def test_space_ranger_1_lists_all_sites_without_a_header_in_whole_pixels(write, visium):
    path = write("space-ranger-1") / "A1/outs/spatial/tissue_positions_list.csv"
    table = pd.read_csv(path, header=None)
    assert (table.dtypes[1:] == np.int64).all()
    assert len(table) == len(visium.sites)
    np.testing.assert_array_equal(table[0], visium.sites.names)
    np.testing.assert_array_equal(table[1] == 1, visium.on_tissue)
    np.testing.assert_array_equal(table[[3, 2]], visium.sites.array_xy)
    assert np.abs(table[[5, 4]].to_numpy() - visium.sites.center_xy).max() <= 0.5


def test_space_ranger_2_has_a_header_and_the_cytassist_has_fractions_of_pixels(write, visium):
    header = "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres"
    whole = write("space-ranger-2") / "A1/outs/spatial/tissue_positions.csv"
    exact = write("space-ranger-cytassist") / "A1/outs/spatial/tissue_positions.csv"
    assert whole.read_text().splitlines()[0] == exact.read_text().splitlines()[0] == header
    assert pd.read_csv(whole)["pxl_row_in_fullres"].dtype == np.int64
    found = pd.read_csv(exact)[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(found, visium.sites.center_xy, atol=1e-6)


def test_the_marks_span_what_real_folders_have_and_not_a_spot(write):
    factors = {
        layout: json.loads((write(layout) / "A1/outs/spatial/scalefactors_json.json").read_text())
        for layout in ("space-ranger-1", "space-ranger-cytassist")
    }
    assert factors["space-ranger-1"]["spot_diameter_fullres"] * 0.5 == pytest.approx(65)
    assert factors["space-ranger-1"]["fiducial_diameter_fullres"] * 0.5 == pytest.approx(105)
    assert factors["space-ranger-cytassist"]["spot_diameter_fullres"] * 0.5 == pytest.approx(70)
    assert (
        "regist_target_img_scalef"
        in factors["space-ranger-cytassist"].keys() - factors["space-ranger-1"].keys()
    )


@pytest.mark.parametrize("layout", ["space-ranger-1", "space-ranger-cytassist"])
def test_small_pictures_have_the_scale_that_is_said(write, visium, layout):
    spatial = write(layout) / "A1/outs/spatial"
    factors = json.loads((spatial / "scalefactors_json.json").read_text())
    for name, longest in (("hires", 2000), ("lowres", 600)):
        with Image.open(spatial / f"tissue_{name}_image.png") as small:
            assert max(small.size) == min(longest, 1280)
            assert small.width / 1280 == pytest.approx(factors[f"tissue_{name}_scalef"], rel=1e-3)


def test_a_large_picture_has_a_smaller_hires_one(visium):
    twice = replace(visium, image=np.kron(visium.image, np.ones((2, 2, 1), dtype=np.uint8)))
    small, scale = shrunk(twice, 2000)
    assert small.size == (2000, 2000)
    assert scale == pytest.approx(2000 / 2560)


def test_the_cytassist_sees_the_same_tissue_turned_and_coarser(write, visium):
    with Image.open(write("space-ranger-cytassist") / "A1/outs/spatial/cytassist_image.tiff") as view:
        back = view.convert("L").rotate(-94, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    side = 1280 * 0.5 / 3
    off = (back.width - side) / 2
    upright = back.crop((round(off), round(off), round(off) + 213, round(off) + 213))
    small = Image.fromarray(visium.image).convert("L").resize((213, 213), Image.Resampling.BOX)
    assert np.corrcoef(np.ravel(upright), np.ravel(small))[0, 1] > 0.8


def test_an_mtx_folder_holds_the_same_molecules_as_the_h5(write, visium):
    folder = write("space-ranger-mtx") / "A1/outs/filtered_feature_bc_matrix"
    assert sorted(path.name for path in folder.iterdir()) == [
        "barcodes.tsv.gz",
        "features.tsv.gz",
        "matrix.mtx.gz",
    ]
    with gzip.open(folder / "matrix.mtx.gz") as file:
        counts = np.asarray(mmread(file).todense()).T
    barcodes = gzip.decompress((folder / "barcodes.tsv.gz").read_bytes()).decode().split()
    same_counts(pd.DataFrame(counts, index=barcodes), visium)
    features = pd.read_csv(folder / "features.tsv.gz", sep="\t", header=None)
    assert list(features[1]) == list(visium.truth.genes)
    assert set(features[2]) == {"Gene Expression"}


def test_spots_that_were_lost_are_on_tissue_but_not_in_the_matrix(write, visium):
    table = pd.read_csv(write("space-ranger-2") / "A1/outs/spatial/tissue_positions.csv", index_col=0)
    counts, _ = read_h5(write("space-ranger-2") / "A1/outs/filtered_feature_bc_matrix.h5")
    lost = set(table.index[table["in_tissue"] == 1]) - set(counts.index)
    assert lost == set(visium.spots.names[~visium.counted])
    assert len(lost) == 2


def test_the_content_lies_in_the_folder_itself_on_request(write):
    folder = write("space-ranger-2", outs=False)
    assert (folder / "A1/filtered_feature_bc_matrix.h5").is_file()
    assert (folder / "A1/spatial/tissue_positions.csv").is_file()


# --- probes ---


def test_kept_probes_sum_to_the_molecules_of_their_gene(write, visium):
    outs = write("space-ranger-probes") / "A1/outs"
    assert not list(outs.glob("filtered_feature_bc_matrix*"))
    counts, probes = read_h5(outs / "raw_probe_bc_matrix.h5")
    kept = probes["filtered_probes"].to_numpy(dtype=bool)
    genes = counts.T[kept].groupby(probes.loc[kept, "gene_name"].to_numpy()).sum().T
    with h5py.File(outs / "raw_probe_bc_matrix.h5") as file:
        passed = file["matrix/filtered_barcodes"][:].astype(bool)
        (target,) = file["matrix/features/target_sets"].values()
        np.testing.assert_array_equal(target[:], np.flatnonzero(kept))
    same_counts(genes.loc[passed, list(visium.truth.genes)], visium)


def test_stray_probes_would_change_the_counts_and_sites_off_the_tissue_are_listed(write, visium):
    counts, probes = read_h5(write("space-ranger-probes") / "A1/outs/raw_probe_bc_matrix.h5")
    stray = ~probes["filtered_probes"].to_numpy(dtype=bool)
    assert counts.to_numpy()[:, stray].sum() > 100
    assert 0 < probes.loc[stray, "gene_id"].str.startswith("DEPRECATED_").sum() < stray.sum()
    assert probes.loc[~stray, "gene_id"].value_counts().max() == 3
    assert probes["id"].is_unique
    assert len(counts) == len(visium.sites) - 2


# --- Visium HD ---


def test_bins_of_8_micrometres_hold_the_molecules(write, hd):
    counts, _ = read_h5(
        write("visium-hd", HD) / "A1/outs/binned_outputs/square_008um/filtered_feature_bc_matrix.h5"
    )
    wanted = expected(hd)
    wanted = wanted[wanted.sum(axis=1) > 0]
    pd.testing.assert_frame_equal(counts, wanted, check_dtype=False)


def test_bins_of_16_micrometres_are_the_sums_of_four(write):
    bins = write("visium-hd", HD) / "A1/outs/binned_outputs"
    small, _ = read_h5(bins / "square_008um/filtered_feature_bc_matrix.h5")
    large, _ = read_h5(bins / "square_016um/filtered_feature_bc_matrix.h5")
    row, column = small.index.str.slice(8, 13).astype(int), small.index.str.slice(14, 19).astype(int)
    joined = [f"s_016um_{y // 2:05d}_{x // 2:05d}-1" for y, x in zip(row, column, strict=True)]
    pd.testing.assert_frame_equal(small.groupby(joined).sum(), large, check_names=False, check_dtype=False)


def test_hd_positions_are_a_parquet_table_of_all_bins(write, hd):
    bins = write("visium-hd", HD) / "A1/outs/binned_outputs"
    small = pd.read_parquet(bins / "square_008um/spatial/tissue_positions.parquet")
    large = pd.read_parquet(bins / "square_016um/spatial/tissue_positions.parquet")
    assert list(small["barcode"]) == list(hd.sites.names)
    assert len(large) * 4 == len(small)
    assert small["pxl_row_in_fullres"].dtype == np.float64
    assert small["array_row"].dtype == np.int32
    pixels = ["pxl_row_in_fullres", "pxl_col_in_fullres"]
    one = large[(large["array_row"] == 12) & (large["array_col"] == 24)]
    four = small[small["array_row"].isin([24, 25]) & small["array_col"].isin([48, 49])]
    np.testing.assert_allclose(one[pixels].to_numpy()[0], four[pixels].mean())
    assert one["in_tissue"].item() == four["in_tissue"].max()
    assert one["barcode"].item() == "s_016um_00012_00024-1"


@pytest.mark.parametrize("bin_um", [8, 16])
def test_hd_says_its_bins_and_its_resolution(write, bin_um):
    folder = write("visium-hd", HD) / f"A1/outs/binned_outputs/square_{bin_um:03d}um/spatial"
    factors = json.loads((folder / "scalefactors_json.json").read_text())
    assert factors["bin_size_um"] == bin_um
    assert factors["microns_per_pixel"] == 0.5
    assert factors["spot_diameter_fullres"] == bin_um / 0.5
    table = pd.read_parquet(folder / "tissue_positions.parquet")
    pitch = lattice_pitch_px(
        table[["array_col", "array_row"]].to_numpy(),
        table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(),
    )
    assert pitch * 0.5 == pytest.approx(bin_um)


# --- legacy ST, AnnData, SpatialData ---


def test_a_legacy_folder_has_two_plain_tables_and_an_image(write):
    folder, section = write("legacy-st", LEGACY) / "A1", make_section(LEGACY, 0, 0)
    assert sorted(path.name for path in folder.iterdir()) == ["counts.tsv", "image.jpg", "spots.tsv"]
    counts = pd.read_csv(folder / "counts.tsv", sep="\t", index_col=0)
    spots = pd.read_csv(folder / "spots.tsv", sep="\t")
    assert list(spots) == ["x", "y", "new_x", "new_y", "pixel_x", "pixel_y"]
    np.testing.assert_array_equal(counts, section.counts[section.counted])
    np.testing.assert_allclose(spots[["pixel_x", "pixel_y"]], section.spots.center_xy, atol=0.01)


def test_an_h5ad_follows_scanpys_visium_convention(write, visium):
    folder = write("h5ad") / "A1"
    assert sorted(path.name for path in folder.iterdir()) == ["A1.h5ad", "A1.jpg"]
    table = ad.read_h5ad(folder / "A1.h5ad")
    same_counts(pd.DataFrame(table.X.toarray(), index=table.obs_names), visium)
    assert list(table.var_names) == list(visium.truth.genes)
    assert table.var["gene_ids"].str.startswith("ENSG99").all()
    place = dict(zip(visium.spots.names, visium.spots.center_xy, strict=True))
    wanted = np.array([place[name] for name in table.obs_names])
    assert np.abs(table.obsm["spatial"] - wanted).max() <= 0.5
    library = table.uns["spatial"]["A1"]
    assert library["scalefactors"]["spot_diameter_fullres"] == 130
    assert library["images"]["lowres"].shape == (600, 600, 3)
    assert (table.obs["in_tissue"] == 1).all()


@needs_spatialdata
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_spatialdata_store_holds_picture_spots_and_table(write, visium):
    from spatialdata import read_zarr

    store = read_zarr(write("spatialdata") / "A1/A1.zarr")
    table = store.tables["table"]
    same_counts(pd.DataFrame(table.X.toarray(), index=table.obs_names), visium)
    picture = store.images["A1_full_image"]["scale0"]["image"].to_numpy()
    np.testing.assert_array_equal(np.moveaxis(picture, 0, -1), visium.image)
    circles = store.shapes["A1"]
    at = np.column_stack([circles.geometry.x, circles.geometry.y])[table.obs["spot_id"]]
    np.testing.assert_array_equal(at, table.obsm["spatial"])
    assert set(circles["radius"]) == {65.0}
    assert set(table.obs["region"]) == {"A1"}


def test_without_the_package_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(spatial_data, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'miso-spatial\[spatial\]'"):
        write_phantom(replace(SPEC, size_um=300), tmp_path, "spatialdata")


# --- features beyond genes ---


def test_a_symbol_with_two_ids_shares_its_molecules(write, visium):
    counts, features = read_h5(
        write("space-ranger-2", extra_features=True) / "A1/outs/filtered_feature_bc_matrix.h5"
    )
    genes = features["feature_type"] == "Gene Expression"
    twins = genes & (features["name"] == visium.truth.genes[0])
    assert twins.sum() == 2
    assert features.loc[twins, "id"].is_unique
    assert (counts.loc[:, twins.to_numpy()].sum() > 0).all()
    summed = counts.T[genes.to_numpy()].groupby(features.loc[genes, "name"].to_numpy(), sort=False).sum().T
    same_counts(summed, visium)


def test_antibodies_are_features_of_their_own_type(write):
    _, features = read_h5(
        write("space-ranger-2", extra_features=True) / "A1/outs/filtered_feature_bc_matrix.h5"
    )
    antibodies = features.loc[features["feature_type"] == "Antibody Capture", "name"]
    assert list(antibodies) == ["ERBB2.1", "KRT8.1", "CD3D.1", "mouse_IgG2a"]


def test_an_h5ad_with_a_twice_named_gene_has_unique_names(write):
    table = ad.read_h5ad(write("h5ad", extra_features=True) / "A1/A1.h5ad")
    assert table.var_names.is_unique
    assert {"ERBB2", "ERBB2-1"} <= set(table.var_names)
    assert (table.var["feature_types"] == "Antibody Capture").sum() == 4


# --- pictures ---


def test_the_full_picture_is_a_jpeg_a_flat_tiff_or_a_pyramid(write, visium):
    jpeg = write("space-ranger-2") / "images/A1.jpg"
    flat = write("space-ranger-2", image_format="tiff") / "images/A1.tif"
    pyramid = write("space-ranger-2", image_format="pyramid") / "images/A1.tif"
    with Image.open(flat) as image:
        np.testing.assert_array_equal(np.asarray(image), visium.image)
        assert image.tag_v2[282] == pytest.approx(1e4 / 0.5)
        assert image.tag_v2[296] == 3
    with Image.open(jpeg) as image:
        assert np.abs(np.asarray(image).astype(int) - visium.image).mean() < 4
    with openslide.OpenSlide(pyramid) as slide:
        assert slide.dimensions == (1280, 1280)
        assert slide.level_count >= 3
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)


def test_a_finer_picture_comes_with_finer_positions(tmp_path):
    spec = replace(SPEC, size_um=300, n_visible=2)
    coarse = write_phantom(spec, tmp_path / "coarse", "space-ranger-cytassist")
    fine = write_phantom(replace(spec, image_mpp=0.25), tmp_path / "fine", "space-ranger-cytassist")
    where = "A1/outs/spatial/tissue_positions.csv"
    pixels = ["pxl_row_in_fullres", "pxl_col_in_fullres"]
    np.testing.assert_allclose(
        pd.read_csv(fine / where)[pixels], 2 * pd.read_csv(coarse / where)[pixels], rtol=1e-12
    )
    with Image.open(fine / "images/A1.jpg") as large, Image.open(coarse / "images/A1.jpg") as small:
        assert large.size == (2 * small.width, 2 * small.height)
    matrix = "A1/outs/filtered_feature_bc_matrix.h5"
    pd.testing.assert_frame_equal(read_h5(fine / matrix)[0], read_h5(coarse / matrix)[0])
    assert open_truth(fine / "truth/A1.npz").mpp == 0.25


# --- the cohort ---


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("h5ad", "spatialdata")])
def test_every_layout_is_the_same_byte_for_byte_at_every_writing(tmp_path, layout):
    spec = replace(SPEC, array=LAYOUTS[layout].array, size_um=300, n_visible=3, n_null=1)
    options = {"extra_features": LAYOUTS[layout].has_ids}
    first, second = (write_phantom(spec, tmp_path / n, layout, **options) for n in ("first", "second"))
    files = [path.relative_to(first) for path in first.rglob("*") if path.is_file() and path.suffix != ".npz"]
    assert len(files) >= 5
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)
    assert (first / "truth/A1.npz").is_file()
    assert json.loads((first / "phantom.json").read_text())["layout"] == layout


def test_an_interrupted_section_is_finished_later(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise KeyboardInterrupt

    spec = replace(SPEC, size_um=300, n_visible=3)
    with monkeypatch.context() as broken:
        broken.setattr(space_ranger, "write_json", fail)
        with pytest.raises(KeyboardInterrupt):
            write_phantom(spec, tmp_path, "space-ranger-2")
    outs = tmp_path / "A1/outs"
    assert (outs / "filtered_feature_bc_matrix.h5").is_file()
    assert not list(Path(outs / "spatial").glob("scalefactors*"))
    write_phantom(spec, tmp_path, "space-ranger-2")
    assert (outs / "spatial/scalefactors_json.json").is_file()
    assert (tmp_path / "phantom.json").is_file()


def test_another_layout_in_the_same_folder_is_refused(write):
    folder = write("space-ranger-2")
    with pytest.raises(SampleError, match="layout is space-ranger-2, asked for h5ad"):
        write_phantom(SPEC, folder, "h5ad")


def test_somebody_elses_sample_is_never_written_into(tmp_path):
    (tmp_path / "A1").mkdir()
    with pytest.raises(SampleError, match=r"has 'A1' but no phantom\.json"):
        write_phantom(SPEC, tmp_path, "space-ranger-2")


@pytest.mark.parametrize(
    ("layout", "options", "message"),
    [
        ("visium-hd", {}, r"for the array 'hd', not 'visium'; use PhantomSpec\(array='hd'\)"),
        ("visium", {}, "unknown layout 'visium'"),
        ("h5ad", {"image_format": "bmp"}, "choose one of jpeg, tiff, pyramid"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(tmp_path, layout, options, message):
    with pytest.raises(ConfigError, match=message):
        write_phantom(SPEC, tmp_path, layout, **options)


def test_a_layout_without_ids_has_no_extra_features(tmp_path):
    with pytest.raises(ConfigError, match="a symbol occurs once"):
        write_phantom(LEGACY, tmp_path, "her2st", extra_features=True)
