"""AnnData files as tools write them; the truth is what was put in, and known figures of a real one."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from miso.errors import AlignmentError, MisoError, SampleError
from miso.samples.vendors.scverse.h5ad import is_h5ad, read_h5ad
from miso.samples.vendors.section import VendorOptions
from miso.slides import open_slide

OPTIONS = VendorOptions()
PITCH_PX = 200.0
"""0.5 µm/px."""


@pytest.fixture
def adata() -> anndata.AnnData:
    """42 spots of a Visium array, spot i with i + 1 molecules of gene 0; the last three off the tissue."""
    row = np.repeat(np.arange(6), 7)
    col = np.tile(np.arange(7) * 2, 6) + row % 2
    counts = np.stack([np.arange(42) + 1, np.arange(42) % 2, np.full(42, 7)], axis=1)
    obs = pd.DataFrame(
        {"in_tissue": (np.arange(42) < 39).astype(int), "array_row": row, "array_col": col},
        index=[f"AAACCCGGGTTT{i:02d}-1" for i in range(42)],
    )
    var = pd.DataFrame({"gene_ids": [f"ENSG0000000000{i}" for i in range(3)]}, index=["A", "B", "C"])
    made = anndata.AnnData(X=csr_matrix(counts.astype(np.float32)), obs=obs, var=var)
    made.obsm["spatial"] = np.stack([col * PITCH_PX / 2 + 150, row * PITCH_PX * np.sqrt(0.75) + 120], axis=1)
    made.uns["spatial"] = {"S1": library()}
    return made


def library(width: int = 1600, height: int = 1200) -> dict[str, object]:
    factors = {"tissue_hires_scalef": 0.25, "tissue_lowres_scalef": 0.05, "spot_diameter_fullres": 130.0}
    images = {
        name: np.zeros((round(height * scale), round(width * scale), 3))
        for name, scale in (("hires", 0.25), ("lowres", 0.05))
    }
    return {"images": images, "scalefactors": factors, "metadata": {"software_version": "spaceranger-2.0.0"}}


@pytest.fixture
def write(tmp_path):
    def write_to(adata: anndata.AnnData, name: str = "s.h5ad"):
        adata.write_h5ad(tmp_path / name)
        return tmp_path / name

    return write_to


def test_visium_by_scanpys_convention_is_read_whole(adata, write):
    path = write(adata)
    section = read_h5ad(path, OPTIONS)
    spots = section.spots
    assert (section.name, section.layout) == ("S1", "AnnData .h5ad (Visium)")
    assert spots.barcodes == list(adata.obs_names[:39])
    np.testing.assert_array_equal(spots.counts.toarray(), adata.X[:39].toarray())
    np.testing.assert_allclose(spots.center_xy, adata.obsm["spatial"][:39])
    np.testing.assert_array_equal(spots.array_xy[8], [3, 1])
    assert (spots.genes, spots.gene_ids[0]) == (["A", "B", "C"], "ENSG00000000000")
    assert (spots.diameter_um, spots.pitch_um, spots.shape) == (55, 100, "disc")
    assert section.resolutions[0].mpp == pytest.approx(0.5)
    assert section.full_size_px == (1600, 1200)
    assert {p.name: (p.size_px, p.scale) for p in section.pictures} == {
        "hires": ((400, 300), 0.25),
        "lowres": ((80, 60), 0.05),
    }
    assert spots.notes == ["3 of 42 spots are not in the tissue and were left out"]
    assert (section.image, section.inputs) == (None, [path])


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix, csc_matrix])
def test_counts_are_read_however_they_are_kept(adata, write, kind):
    expected = adata.X.toarray()
    adata.X = kind(expected)
    np.testing.assert_array_equal(read_h5ad(write(adata), OPTIONS).spots.counts.toarray(), expected[:39])


def test_a_layer_of_counts_goes_before_a_normalised_x(adata, write):
    expected = adata.X.toarray()
    adata.layers["counts"] = adata.X.copy()
    adata.X = csr_matrix(np.sqrt(expected))
    spots = read_h5ad(write(adata), OPTIONS).spots
    np.testing.assert_array_equal(spots.counts.toarray(), expected[:39])
    assert "counts are those of layers.counts" in spots.notes


def test_raw_counts_bring_their_own_genes_with_the_names_of_var(adata, write):
    adata.var = adata.var.assign(feature_name=["a", "b", "c"]).set_index("gene_ids")
    adata.raw = anndata.AnnData(X=adata.X.copy(), obs=adata.obs, var=adata.var[[]])
    small = adata[:, :2].copy()
    small.X = csr_matrix(np.sqrt(small.X.toarray()))
    spots = read_h5ad(write(small), OPTIONS).spots
    assert spots.gene_ids == ["ENSG00000000000", "ENSG00000000001", "ENSG00000000002"]
    assert spots.genes == ["a", "b", "ENSG00000000002"]  # var does not name the third
    np.testing.assert_array_equal(spots.counts.toarray()[:, 2], np.full(39, 7))


def test_logged_counts_are_counted_back_and_said(adata, write):
    counts = adata.X.toarray()
    counts[:, 1] = 1  # every spot has a gene that was seen once
    adata.X = csr_matrix(np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).astype(np.float32))
    spots = read_h5ad(write(adata), OPTIONS).spots
    assert any("counted back" in note and "taken for one molecule" in note for note in spots.notes)
    np.testing.assert_array_equal(spots.counts.toarray(), counts[:39])


def test_without_array_positions_the_neighbours_tell(adata, write):
    adata.obs = adata.obs.drop(columns=["array_row", "array_col"])
    section = read_h5ad(write(adata), OPTIONS)
    assert section.resolutions[0].mpp == pytest.approx(0.5)
    assert section.resolutions[0].source == "hexagonal lattice of neighbouring spots, taken for 100 µm"
    assert any("there are no array positions" in note for note in section.spots.notes)
    assert np.isnan(section.spots.array_xy).all()


def test_spots_without_a_lattice_have_no_resolution(adata, write):
    adata.obs = adata.obs.drop(columns=["array_row", "array_col"])
    adata.obsm["spatial"] = np.random.default_rng(0).random((42, 2)) * 1000
    section = read_h5ad(write(adata), OPTIONS)
    assert section.resolutions == []
    assert any("spots form no lattice" in note for note in section.spots.notes)


@pytest.mark.parametrize(("diameter_px", "pitch_um", "mpp"), [(0.5, 200, [200 / 290]), (1.0, 100, [])])
def test_a_square_lattice_is_legacy_st_only_if_its_spots_are_half_as_wide(write, diameter_px, pitch_um, mpp):
    xy = np.stack(np.meshgrid(np.arange(6), np.arange(6)), axis=-1).reshape(-1, 2) * 290.0
    made = anndata.AnnData(
        X=np.ones((36, 2), np.float32), obs=pd.DataFrame(index=[f"s{i}" for i in range(36)])
    )
    made.obsm["spatial"] = xy
    made.uns["spatial"] = {"S": {"scalefactors": {"spot_diameter_fullres": diameter_px * 290}, "images": {}}}
    section = read_h5ad(write(made), OPTIONS)
    assert section.spots.pitch_um == pitch_um
    assert [found.mpp for found in section.resolutions] == pytest.approx(mpp)


def test_spots_named_by_their_place_are_legacy_st(write):
    xy = np.stack(np.meshgrid(np.arange(6), np.arange(6)), axis=-1).reshape(-1, 2)
    obs = pd.DataFrame(index=[f"{x}x{y}" for x, y in xy])
    made = anndata.AnnData(X=np.ones((36, 2), np.float32), obs=obs)
    made.obsm["spatial"] = xy * 290.0
    section = read_h5ad(write(made), OPTIONS)
    assert (section.spots.pitch_um, section.resolutions[0].mpp) == (200, pytest.approx(200 / 290))
    assert any("uns['spatial'] says nothing of the image" in note for note in section.spots.notes)


def test_bins_are_squares_of_their_own_size(adata, write):
    row, col = np.divmod(np.arange(42), 7)
    adata.obs_names = [f"s_016um_{r:05d}_{c:05d}-1" for r, c in zip(row, col, strict=True)]
    adata.obs["array_row"], adata.obs["array_col"] = row, col
    adata.obsm["spatial"] = np.stack([col * 32.0, row * 32.0], axis=1)
    adata.uns["spatial"]["S1"]["scalefactors"] |= {"bin_size_um": 16.0, "microns_per_pixel": 0.5}
    section = read_h5ad(write(adata), OPTIONS)
    spots = section.spots
    assert (spots.shape, spots.diameter_um, spots.pitch_um) == ("square", 16, 16)
    assert [found.mpp for found in section.resolutions] == pytest.approx([0.5, 0.5])
    assert section.resolutions[0].source == "microns_per_pixel in s.h5ad"


def test_one_library_of_several_is_chosen(adata, write):
    adata.obs["library_id"] = pd.Categorical(np.where(np.arange(42) < 21, "S1", "S2"))
    adata.uns["spatial"]["S2"] = library(2000, 1000)
    path = write(adata)
    with pytest.raises(SampleError, match=r"holds 2 libraries \(S1, S2\); choose one with --library"):
        read_h5ad(path, OPTIONS)
    section = read_h5ad(path, VendorOptions(library="S2"))
    assert (section.name, len(section.spots), section.full_size_px) == ("S2", 18, (2000, 1000))
    with pytest.raises(SampleError, match="unknown library 'S3'"):
        read_h5ad(path, VendorOptions(library="S3"))


def test_libraries_that_no_column_tells_apart_are_refused(adata, write):
    adata.uns["spatial"]["S2"] = library()
    with pytest.raises(SampleError, match="no column of obs says which spots are whose"):
        read_h5ad(write(adata), VendorOptions(library="S1"))


def test_pictures_that_contradict_each_other_say_nothing_of_the_size(adata, write):
    adata.uns["spatial"]["S1"]["images"]["hires"] = np.zeros((100, 100, 3))
    section = read_h5ad(write(adata), OPTIONS)
    assert section.full_size_px is None
    assert any("by the hires picture" in note for note in section.spots.notes)


def test_a_full_resolution_image_inside_is_opened_by_the_files_name(adata, write):
    image = np.random.default_rng(0).integers(0, 255, (1200, 1600, 3), dtype=np.uint8)
    adata.uns["spatial"]["S1"]["images"]["fullres"] = image
    path = write(adata)
    section = read_h5ad(path, OPTIONS)
    assert (section.image, section.full_size_px, section.size_slack_px) == (path, (1600, 1200), 0)
    with open_slide(section.image, section.resolutions[0]) as slide:
        assert slide.size_px == (1600, 1200)
        np.testing.assert_array_equal(
            slide.read((1100, 900), (300, 200), slide.mpp), image[900:1100, 1100:1400]
        )


def test_a_file_without_an_image_is_no_slide(adata, write):
    with pytest.raises(MisoError, match=r"should hold one full-resolution image .*has none; pass the slide"):
        open_slide(write(adata), 0.5)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a.obsm.pop("spatial"), r"has no obsm\['spatial'\].*obsm has: nothing"),
        (
            lambda a: a.obsm.update(spatial=np.zeros((42, 1))),
            r"obsm\['spatial'\] is \(42, 1\), expected \(42, 2\)",
        ),
        (
            lambda a: a.obsm.update(spatial=np.full((42, 2), np.nan)),
            "is no pixel position for 39 of 39|42 of 42",
        ),
        (lambda a: a.obs.update(a.obs[["in_tissue"]] * 0), "not one spot is in the tissue"),
        (lambda a: setattr(a, "X", -a.X), "holds no counts: X has negative values"),
        (lambda a: setattr(a, "X", None), "holds no counts: no matrix at all"),
        (lambda a: a.obs.update(a.obs[["array_row"]] + 0.5), "array_row and array_col are no whole numbers"),
    ],
    ids=["no positions", "one axis", "no numbers", "off tissue", "negative", "no X", "array"],
)
def test_what_is_missing_or_impossible_is_named(adata, write, spoil, message):
    adata.obs = adata.obs.astype(float)
    spoil(adata)
    with pytest.raises(SampleError, match=message):
        read_h5ad(write(adata), OPTIONS)


def test_swapped_array_columns_are_named(adata, write):
    adata.obs = adata.obs.rename(columns={"array_row": "array_col", "array_col": "array_row"})
    with pytest.raises(AlignmentError, match="are swapped"):
        read_h5ad(write(adata), OPTIONS)


def test_a_file_is_known_by_its_content_too(adata, write, tmp_path):
    assert is_h5ad(write(adata, "named_otherwise.h5"))
    with h5py.File(tmp_path / "matrix.h5", "w") as file:
        file["matrix"] = [1]
    (tmp_path / "text.h5").write_text("no HDF5")
    assert not is_h5ad(tmp_path / "matrix.h5")
    assert not is_h5ad(tmp_path / "text.h5")
    assert not is_h5ad(tmp_path)


@pytest.mark.parametrize("key", ["obs", "var", "X", "obsm", "obs/_index", "X/indptr", "var/_index"])
def test_a_file_without_one_of_its_parts_is_refused_on_one_line(adata, write, key):
    path = write(adata)
    with h5py.File(path, "a") as file:
        del file[key]
    with pytest.raises(SampleError) as caught:
        read_h5ad(path, OPTIONS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["uns", "uns/spatial/S1/images", "uns/spatial/S1/scalefactors", "obs/in_tissue"]
)
def test_a_file_without_what_is_not_needed_is_read(adata, write, key):
    path = write(adata)
    with h5py.File(path, "a") as file:
        del file[key]
    assert read_h5ad(path, OPTIONS).resolutions[-1].mpp == pytest.approx(0.5)


def test_indices_that_point_nowhere_are_refused(adata, write):
    path = write(adata)
    with h5py.File(path, "a") as file:
        file["X/indices"][5] = 10**6
    with pytest.raises(SampleError, match="truncated or damaged"):
        read_h5ad(path, OPTIONS)


def test_a_claim_that_no_file_can_hold_is_refused_before_it_is_read(adata, write):
    path = write(adata)
    with h5py.File(path, "a") as file:
        del file["X"]
        file.create_dataset("X", shape=(42, 10**10), dtype="f4", chunks=(1, 1000))
    with pytest.raises(SampleError, match="it claims an array of 42 × 10000000000"):
        read_h5ad(path, OPTIONS)


def test_flipped_bits_and_cuts_give_one_line_or_a_section(adata, write, spoil, refusal):
    path = write(adata)
    whole = path.read_bytes()
    for trial in range(16):  # each starts a process for the file's texts
        path.write_bytes(spoil(whole, trial))
        assert "\n" not in refusal(lambda: read_h5ad(path, OPTIONS))


@pytest.mark.data
def test_the_real_crop_is_counted_back_and_measured(real_data):
    section = read_h5ad(real_data / "visium" / "mouse_brain_crop" / "test_data.h5ad", OPTIONS)
    assert section.name == "V1_Adult_Mouse_Brain"
    assert (len(section.spots), len(section.spots.genes)) == (49, 1999)
    assert section.spots.counts.sum() == 204613
    assert section.resolutions[0].mpp == pytest.approx(
        0.7252, rel=1e-3
    )  # by array positions of its own slide
    assert section.full_size_px is None  # its hires picture is noise of another size
