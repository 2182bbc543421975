"""Folders of legacy ST tables, whatever their files are called; the truth is the table that was written."""

import gzip

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from miso.errors import AlignmentError, SampleError
from miso.samples.vendors.section import VendorOptions
from miso.samples.vendors.st.legacy import is_legacy_st, read_legacy_st

OPTIONS = VendorOptions()


@pytest.fixture
def counts() -> pd.DataFrame:
    names = [f"{x}x{y}" for y in range(5, 10) for x in range(10, 16)]
    return pd.DataFrame(np.arange(90).reshape(30, 3), index=names, columns=["g0", "g1", "g2"])


@pytest.fixture
def spots() -> pd.DataFrame:
    x, y = np.tile(np.arange(10, 16), 5), np.repeat(np.arange(5, 10), 6)
    table = {"x": x, "y": y, "new_x": x + 0.02, "new_y": y - 0.01}
    return pd.DataFrame(table | {"pixel_x": (x - 9) * 30.0 + 0.6, "pixel_y": (y - 4) * 30.0 - 0.3})


@pytest.fixture
def folder(tmp_path, counts, spots):
    at = tmp_path / "ST1"
    at.mkdir()
    counts.to_csv(at / "counts.tsv", sep="\t")
    spots.to_csv(at / "spots.tsv", sep="\t", index=False)
    Image.new("RGB", (240, 210), "white").save(at / "image.png")
    return at


def test_positions_counts_and_image_are_joined(folder, counts):
    section = read_legacy_st(folder, OPTIONS)
    assert section.name == "ST1"
    assert section.layout == "legacy Spatial Transcriptomics"
    assert section.spots.barcodes == list(counts.index)
    np.testing.assert_array_equal(section.spots.counts.toarray(), counts)
    np.testing.assert_allclose(section.spots.center_xy[0], [30.6, 29.7])
    np.testing.assert_allclose(section.spots.array_xy[0], [10.02, 4.99])
    assert (section.spots.pitch_um, section.spots.diameter_um) == (200, 100)
    assert section.resolutions[0].mpp == pytest.approx(200 / 30)
    assert section.image == folder / "image.png"
    assert section.spots.notes == []
    assert {path.name for path in section.inputs} == {"counts.tsv", "spots.tsv", "image.png"}


@pytest.mark.parametrize(
    ("of_counts", "of_spots"),
    [
        ("ut_A_stdata_filtered.tsv.gz", "spot_data-selection-A.tsv"),
        ("b.txt", "a.tsv.gz"),
        ("spots.tsv", "counts.tsv"),
    ],
)
def test_tables_are_known_by_their_columns_not_their_names(folder, counts, of_counts, of_spots):
    tables = {of_counts: (folder / "counts.tsv").read_bytes(), of_spots: (folder / "spots.tsv").read_bytes()}
    for name in ("counts.tsv", "spots.tsv"):
        (folder / name).unlink()
    for name, content in tables.items():
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert is_legacy_st(folder)
    np.testing.assert_array_equal(read_legacy_st(folder, OPTIONS).spots.counts.toarray(), counts)


def test_a_packed_table_need_not_be_named_gz(folder, counts):
    for path in (folder / "counts.tsv", folder / "spots.tsv"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_legacy_st(folder, OPTIONS).spots.counts.toarray(), counts)


def test_genes_by_spots_are_turned(folder, counts):
    counts.T.to_csv(folder / "counts.tsv", sep="\t")
    section = read_legacy_st(folder, OPTIONS)
    np.testing.assert_array_equal(section.spots.counts.toarray(), counts)
    assert section.spots.genes == ["g0", "g1", "g2"]


def test_commas_and_a_table_of_names_with_x_and_y_are_read(folder, counts, spots):
    named = pd.DataFrame({"X": spots.pixel_x.to_numpy(), "Y": spots.pixel_y.to_numpy()}, index=counts.index)
    named.iloc[::-1].to_csv(folder / "spots.tsv")
    section = read_legacy_st(folder, OPTIONS)
    at = section.spots.barcodes.index("12x6")
    np.testing.assert_allclose(section.spots.center_xy[at], [90.6, 59.7])
    np.testing.assert_array_equal(section.spots.array_xy[at], [12, 6])


def test_spots_named_by_their_printed_position_are_joined_by_the_nearest_whole_one(folder, counts, spots):
    printed = [f"{x:.2f}x{y:.2f}" for x, y in zip(spots.new_x, spots.new_y, strict=True)]
    counts.set_axis(printed, axis=0).to_csv(folder / "counts.tsv", sep="\t")
    section = read_legacy_st(folder, OPTIONS)
    np.testing.assert_array_equal(section.spots.counts.toarray(), counts)
    assert "counts are named like 10.02x4.99" in section.spots.notes[0]


@pytest.mark.parametrize(("choice", "genes"), [("sum", ["A", "B"]), ("unique", ["A", "B", "A-1"])])
def test_a_gene_that_is_there_twice_is_summed_or_numbered(folder, counts, choice, genes):
    counts.set_axis(["A", "B", "A"], axis=1).to_csv(folder / "counts.tsv", sep="\t")
    section = read_legacy_st(folder, VendorOptions(duplicate_genes=choice))
    assert section.spots.genes == genes
    assert section.spots.counts.sum() == counts.to_numpy().sum()
    assert any("symbols of several genes: " in note for note in section.spots.notes)


def test_ensembl_columns_are_ids_too(folder, counts):
    ids = [f"ENSG0000000000{i}" for i in range(3)]
    counts.set_axis(ids, axis=1).to_csv(folder / "counts.tsv", sep="\t")
    assert read_legacy_st(folder, OPTIONS).spots.gene_ids == ids


def test_two_tables_of_one_kind_are_listed(folder):
    (folder / "more.tsv").write_bytes((folder / "counts.tsv").read_bytes())
    with pytest.raises(SampleError, match=r"has 2 tables of counts .*: counts\.tsv, more\.tsv; leave one"):
        read_legacy_st(folder, OPTIONS)


@pytest.mark.parametrize(
    ("gone", "what"), [("spots.tsv", "spot positions"), ("counts.tsv", "counts by spots")]
)
def test_a_missing_table_is_named_with_those_that_are_there(folder, gone, what):
    (folder / gone).unlink()
    assert is_legacy_st(folder)
    with pytest.raises(SampleError, match=f"has no table of {what} .*there: "):
        read_legacy_st(folder, OPTIONS)


def test_a_damaged_table_is_named_where_its_kind_is_missing(folder):
    (folder / "spots.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SampleError, match=r"no table of spot positions .*spots\.tsv is truncated or damaged"):
        read_legacy_st(folder, OPTIONS)


def test_a_grey_mask_and_a_thumbnail_are_not_the_image(folder):
    Image.new("L", (240, 210)).save(folder / "mask.png")
    Image.new("RGB", (60, 50)).save(folder / "thumb.jpg")
    (folder / "._image.png").write_bytes(b"Mac OS X")
    section = read_legacy_st(folder, OPTIONS)
    assert section.image.name == "image.png"
    assert "image.png was taken, not mask.png, thumb.jpg" in section.spots.notes[0]


def test_two_images_are_left_to_the_user(folder):
    Image.new("RGB", (500, 500)).save(folder / "other.jpg")
    section = read_legacy_st(folder, OPTIONS)
    assert section.image is None
    assert "2 pictures that could be the section's: image.png, other.jpg" in section.spots.notes[0]


def test_a_folder_without_an_image_is_read_all_the_same(folder):
    (folder / "image.png").unlink()
    assert read_legacy_st(folder, OPTIONS).image is None


def test_pixels_of_other_spots_are_refused(folder, spots):
    spots["pixel_x"] = np.random.default_rng(0).permutation(spots["pixel_x"])
    spots.to_csv(folder / "spots.tsv", sep="\t", index=False)
    with pytest.raises(AlignmentError, match="not of one lattice"):
        read_legacy_st(folder, OPTIONS)


def test_fractions_are_told(folder, counts):
    (counts / 3).to_csv(folder / "counts.tsv", sep="\t")
    assert "counts hold fractions: were they normalised?" in read_legacy_st(folder, OPTIONS).spots.notes


@pytest.mark.parametrize("what", ["empty", "file", "pictures only"])
def test_what_is_no_legacy_folder_is_not_taken_for_one(tmp_path, folder, what):
    if what == "pictures only":
        for name in ("counts.tsv", "spots.tsv"):
            (folder / name).unlink()
    paths = {"empty": tmp_path / "none", "file": folder / "image.png", "pictures only": folder}
    (tmp_path / "none").mkdir()
    assert not is_legacy_st(paths[what])


def test_flipped_bits_and_cuts_give_one_line_or_a_section(folder, spoil, refusal):
    for name in ("counts.tsv", "spots.tsv"):
        whole = (folder / name).read_bytes()
        for trial in range(60):
            (folder / name).write_bytes(spoil(whole, trial))
            assert "\n" not in refusal(lambda: read_legacy_st(folder, OPTIONS))
        (folder / name).write_bytes(whole)


@pytest.mark.data
def test_the_real_toy_folder_is_read(real_data):
    section = read_legacy_st(real_data / "st_toy", OPTIONS)
    assert len(section.spots) == 282
    assert section.spots.counts.sum() == 92636
    assert section.resolutions[0].mpp == pytest.approx(6.879, rel=1e-3)
    assert section.image.name == "image.jpg"
