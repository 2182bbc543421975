"""Space Ranger folders as they are found: every layout read alike, all that is left out counted."""

import gzip
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from miso.errors import AlignmentError, MisoError, SampleError
from miso.samples.vendors.section import VendorOptions
from miso.samples.vendors.space_ranger.folder import is_space_ranger, read_space_ranger, read_spatial
from miso.units import disagreement


def read(folder, **options):
    return read_space_ranger(folder, VendorOptions(**options))


def write_all(run, name="tissue_positions.csv", *, header=True):
    """Write a whole run."""
    run.write_spatial(name, header=header)
    run.write_h5()
    return run.folder


def move_into(folder, below):
    """Move what is in a folder into a new folder in it."""
    parts = list(folder.iterdir())
    (folder / below).mkdir()
    for part in parts:
        part.rename(folder / below / part.name)


def assert_whole(section, run):
    """The section has the run's 44 spots in tissue and their counts."""
    spots = section.spots
    inside = run.positions[run.positions["in_tissue"] == 1]
    assert spots.barcodes == list(inside["barcode"])
    np.testing.assert_array_equal(spots.center_xy, inside[["pxl_col_in_fullres", "pxl_row_in_fullres"]])
    np.testing.assert_array_equal(spots.array_xy, inside[["array_col", "array_row"]])
    np.testing.assert_array_equal(spots.counts.toarray(), run.counts.T)
    assert spots.gene_ids == ["ENSG01", "ENSG02", "ENSG03"]


def test_a_run_is_read_whole(run):
    section = read(write_all(run))
    assert_whole(section, run)
    spots = section.spots
    assert (spots.diameter_um, spots.pitch_um, spots.shape) == (55, 100, "disc")
    assert spots.notes == []
    assert section.layout == "Space Ranger 2.1.0, Visium"
    assert section.name == "S1"
    (resolution,) = section.resolutions
    assert resolution.mpp == pytest.approx(0.5)
    assert section.full_size_px == (3000, 2500)
    assert section.size_slack_px == 2
    shown = [(picture.name, picture.size_px, picture.scale) for picture in section.pictures]
    assert shown == [("hires", (2000, 1667), 2000 / 3000), ("lowres", (600, 500), 0.2)]
    assert {path.name for path in section.inputs} == {
        "filtered_feature_bc_matrix.h5",
        "tissue_positions.csv",
        "scalefactors_json.json",
    }


@pytest.mark.parametrize("named", [".", "outs", "outs/spatial", "outs/filtered_feature_bc_matrix"])
def test_any_folder_of_a_run_leads_to_it(run, named):
    run.write_spatial()
    run.write_mtx()
    move_into(run.folder, "outs")
    assert is_space_ranger(run.folder / named)
    section = read(run.folder / named)
    assert_whole(section, run)
    assert section.name == "S1"


def test_the_folder_at_hand_has_a_name_too(run, monkeypatch):
    write_all(run)
    monkeypatch.chdir(run.folder)
    assert read(Path()).name == "S1"


@pytest.mark.parametrize(
    ("name", "header", "version"),
    [
        ("tissue_positions_list.csv", False, "Space Ranger 1, Visium"),
        ("tissue_positions_list.csv", True, "Space Ranger 1, Visium"),
        ("tissue_positions.csv", True, "Space Ranger 2 or later, Visium"),
    ],
)
def test_without_a_version_the_names_of_files_tell_it_roughly(run, name, header, version):
    run.software = "noversion"
    section = read(write_all(run, name, header=header))
    assert section.layout == version
    assert_whole(section, run)


def test_the_web_summary_tells_the_version(run):
    (run.write_spatial().parents[1] / "web_summary.html").write_text('["Pipeline", "spaceranger-3.1.2"]')
    assert read_spatial(run.folder).layout == "Space Ranger 3.1.2, Visium"


def test_files_with_the_prefix_of_a_repository_are_found_in_a_flat_folder(run):
    write_all(run, "tissue_positions_list.csv", header=False)
    flat = run.folder.with_name("GSE1")
    flat.mkdir()
    for path in [*run.spatial.iterdir(), run.folder / "filtered_feature_bc_matrix.h5"]:
        if path.suffix == ".h5":
            shutil.copy(path, flat / f"GSM123_S1_{path.name}")
        else:
            (flat / f"GSM123_S1_{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert is_space_ranger(flat)
    section = read(flat)
    assert_whole(section, run)
    assert section.name == "GSM123_S1"
    assert section.full_size_px == (3000, 2500)
    assert len(section.pictures) == 2


def test_of_a_flat_folder_of_several_samples_one_is_chosen(run):
    write_all(run)
    flat = run.folder.with_name("GSE1")
    flat.mkdir()
    for sample in ("GSM1_A", "GSM2_B"):
        shutil.copy(run.spatial / "tissue_positions.csv", flat / f"{sample}_tissue_positions.csv")
        run.write_mtx("../GSE1", prefix=f"{sample}_")
        run.counts = run.counts * 2
    with pytest.raises(
        SampleError, match=r"files of 2 samples \(GSM1_A, GSM2_B\); choose one with --library"
    ):
        read(flat)
    assert (
        read(flat, library="GSM1_A").spots.counts.sum() * 2 == read(flat, library="GSM2_B").spots.counts.sum()
    )
    assert read(flat, library="GSM2_B").name == "GSM2_B"
    with pytest.raises(SampleError, match="no sample 'GSM3'"):
        read(flat, library="GSM3")


def test_a_download_with_a_prefix_beside_its_spatial_folder_is_read(run):
    run.write_spatial()
    run.write_h5("V1_Breast_filtered_feature_bc_matrix.h5")
    run.write_h5("V1_Breast_raw_feature_bc_matrix.h5")
    assert_whole(read(run.folder), run)


def test_what_a_mac_leaves_beside_each_file_is_passed_over(run):
    write_all(run)
    for path in [*run.spatial.iterdir(), run.folder / "filtered_feature_bc_matrix.h5"]:
        path.with_name(f"._{path.name}").write_bytes(b"Mac OS X")
    assert_whole(read(run.folder), run)


def test_of_two_files_of_positions_the_newer_is_read_and_that_is_noted(run):
    write_all(run)
    run.positions["pxl_row_in_fullres"] += 5000
    run.write_spatial("tissue_positions_list.csv", header=False)
    section = read(run.folder)
    assert section.spots.center_xy[:, 1].max() < 5000
    assert section.spots.notes == [
        "positions were read from tissue_positions.csv, not from tissue_positions_list.csv"
    ]


def test_positions_counts_and_tissue_are_joined_by_barcode_and_the_rest_is_counted(run):
    run.barcodes = [*run.barcodes[:40][::-1], "GGGGGGGG-1", *run.positions["barcode"][44:47]]
    write_all(run)
    spots = read(run.folder).spots
    assert spots.barcodes == list(run.positions["barcode"][:40][::-1])
    np.testing.assert_array_equal(spots.counts.toarray(), run.counts.T[:40])
    np.testing.assert_array_equal(spots.center_xy[:, 0], run.positions["pxl_col_in_fullres"][:40][::-1])
    assert spots.notes == [
        "1 of 44 barcodes with counts have no position and were left out",
        "3 of 44 barcodes with counts lie off the tissue and were left out",
        "4 of 44 spots in tissue have no counts and were left out",
    ]


def test_of_a_raw_matrix_the_spots_in_tissue_are_kept(run):
    run.barcodes = list(run.positions["barcode"])
    run.counts = np.pad(run.counts, ((0, 0), (0, 4)))
    run.write_spatial()
    run.write_h5("raw_feature_bc_matrix.h5")
    spots = read(run.folder).spots
    assert len(spots) == 44
    assert spots.notes == ["counts are those of the raw matrix, of its spots in tissue"]


def test_the_filtered_matrix_is_preferred(run):
    write_all(run)
    run.counts = run.counts * 3
    run.write_h5("raw_feature_bc_matrix.h5")
    assert read(run.folder).spots.counts.sum() == run.counts.sum() / 3


@pytest.mark.parametrize("cut", ["counts", "positions"])
def test_barcodes_whose_number_was_cut_off_are_matched_and_that_is_noted(run, cut):
    bare = [name.removesuffix("-1") for name in run.positions["barcode"]]
    if cut == "positions":
        run.positions["barcode"] = bare
    else:
        run.barcodes = bare[:44]
    spots = read(write_all(run)).spots
    assert len(spots) == 44
    assert "barcodes were matched without their number" in spots.notes[0]


def test_barcodes_that_match_nothing_are_shown(run):
    run.barcodes = [f"T{name}" for name in run.barcodes]
    with pytest.raises(AlignmentError, match=r"barcodes like 'TAAAAAAAA-1', positions of 'AAAAAAAA-1'"):
        read(write_all(run))


def test_tissue_without_counts_is_refused(run):
    run.positions["in_tissue"] = 1 - run.positions["in_tissue"]
    with pytest.raises(AlignmentError, match="none of the 4 spots in tissue"):
        read(write_all(run))


def test_antibodies_lie_beside_the_counts(run):
    run.features["feature_type"] = ["Gene Expression", "Gene Expression", "Antibody Capture"]
    spots = read(write_all(run)).spots
    assert list(spots.tables) == ["protein"]
    assert list(spots.tables["protein"].index) == spots.barcodes


def test_a_cytassist_run_is_recognised_and_its_picture_listed(run):
    run.factors["regist_target_img_scalef"] = 0.3
    write_all(run)
    Image.new("L", (300, 300)).save(run.spatial / "cytassist_image.tiff")
    section = read(run.folder)
    assert section.layout == "Space Ranger 2.1.0, Visium (CytAssist)"
    (picture,) = [picture for picture in section.pictures if picture.name == "CytAssist"]
    assert (picture.size_px, picture.scale) == ((300, 300), None)


def test_quality_pictures_have_the_hires_scale_if_they_have_its_size(run):
    write_all(run)
    Image.new("L", (2000, 1667)).save(run.spatial / "detected_tissue_image.jpg")
    Image.new("L", (1000, 1000)).save(run.spatial / "aligned_fiducials.jpg")
    scales = {picture.name: picture.scale for picture in read_spatial(run.folder).pictures}
    assert scales["detected tissue"] == scales["hires"]
    assert scales["aligned fiducials"] is None


def test_a_damaged_picture_is_noted_and_no_hindrance(run):
    write_all(run)
    (run.spatial / "tissue_hires_image.png").write_bytes(b"\x89PNG cut off")
    section = read(run.folder)
    assert section.spots.notes == ["the picture tissue_hires_image.png is damaged and was passed over"]
    assert (section.full_size_px, section.size_slack_px) == ((3000, 2500), 5)


def test_pictures_that_speak_of_two_images_are_noted(run):
    write_all(run)
    Image.new("L", (600, 400)).save(run.spatial / "tissue_lowres_image.png")
    assert "by the lowres picture 3000 × 2000 px" in read(run.folder).spots.notes[0]


def test_without_scale_factors_the_lattice_still_tells_the_resolution(run):
    write_all(run)
    (run.spatial / "scalefactors_json.json").unlink()
    section = read(run.folder)
    assert section.full_size_px is None
    assert section.resolutions[0].mpp == pytest.approx(0.5)
    assert "scalefactors_json.json" in section.spots.notes[0]


def test_the_spot_diameter_of_the_scale_factors_is_no_resolution(run):
    run.factors["spot_diameter_fullres"] = 5.0
    assert [round(r.mpp, 3) for r in read(write_all(run)).resolutions] == [0.5]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "truncated or damaged"),
        ("[1]", "holds no JSON object"),
        ('{"tissue_hires_scalef": "big"}', "tissue_hires_scalef = big; expected a positive number"),
        ('{"tissue_lowres_scalef": NaN}', "expected a positive number"),
        ('{"tissue_lowres_scalef": 0}', "expected a positive number"),
        ('{"microns_per_pixel": 500}', "500 microns_per_pixel, which no microscope image has"),
        ("[" * 100_000, "truncated or damaged"),
    ],
)
def test_broken_scale_factors_are_refused(run, content, why):
    write_all(run)
    (run.spatial / "scalefactors_json.json").write_text(content)
    with pytest.raises(SampleError, match=why):
        read(run.folder)


def test_swapped_pixel_columns_are_told_by_the_size_of_the_image(run):
    run.positions["pxl_col_in_fullres"] += 1650
    names = ["pxl_row_in_fullres", "pxl_col_in_fullres"]
    run.positions = run.positions.rename(columns=dict(zip(names, names[::-1], strict=True)))
    with pytest.raises(
        AlignmentError, match=r"pixel rows and columns .* swapped: spots lie off the image of 3000"
    ):
        read(write_all(run))


def test_swapped_pixel_columns_that_fit_the_image_are_noted(run):
    names = ["pxl_row_in_fullres", "pxl_col_in_fullres"]
    run.positions = run.positions.rename(columns=dict(zip(names, names[::-1], strict=True)))
    assert "the array lies mirrored on the image" in read(write_all(run)).spots.notes[0]


def test_visium_hd_bins_are_square_spots_of_their_own_size(hd):
    section = read(write_all(hd, "tissue_positions.parquet"))
    assert_whole(section, hd)
    spots = section.spots
    assert (spots.diameter_um, spots.pitch_um, spots.shape) == (8, 8, "square")
    assert section.layout == "Space Ranger 2.1.0, Visium HD, 8 µm bins"
    assert [r.source for r in section.resolutions] == [
        "microns_per_pixel of Space Ranger",
        "lattice pitch of 8 µm",
    ]
    assert [r.mpp for r in section.resolutions] == pytest.approx([0.5, 0.5])
    assert section.name == "S1"
    assert spots.notes == []


@pytest.mark.parametrize("named", ["", "binned_outputs", "binned_outputs/square_008um/spatial"])
def test_any_folder_of_a_visium_hd_run_leads_to_its_bins(hd, named):
    write_all(hd, "tissue_positions.parquet")
    assert len(read(hd.folder.parents[1] / named).spots) == 99


def two_bins(hd):
    """Write bins of 8 and 16 µm, and the folder of pictures that Visium HD has beside them."""
    write_all(hd, "tissue_positions.parquet")
    coarse = hd.__class__(hd.folder.with_name("square_016um"), bin_um=16.0)
    write_all(coarse, "tissue_positions.parquet")
    (hd.folder.parents[1] / "spatial").mkdir()
    Image.new("L", (300, 300)).save(hd.folder.parents[1] / "spatial" / "cytassist_image.tiff")
    return hd.folder.parents[1]


def test_of_several_bins_one_is_chosen(hd):
    sample = two_bins(hd)
    for folder in (sample, sample / "binned_outputs", sample / "spatial"):
        with pytest.raises(SampleError, match=r"holds bins of 8, 16 µm; choose one with --bin-um"):
            read(folder)
        assert read(folder, bin_um=16.0).spots.pitch_um == 16
    with pytest.raises(SampleError, match="none of 2 µm"):
        read(sample, bin_um=2.0)
    with pytest.raises(SampleError, match=r"holds bins of 8 µm, not of 16 µm"):
        read(hd.folder, bin_um=16.0)


def test_where_spots_lie_can_be_read_without_choosing_bins_and_without_counts(hd):
    sample = two_bins(hd)
    (hd.folder / "filtered_feature_bc_matrix.h5").write_bytes(b"")
    spatial = read_spatial(sample)
    assert spatial.bin_um == 16
    assert spatial.full_size_px == (3000, 2500)
    assert read_spatial(sample, bin_um=8.0).bin_um == 8


def test_bins_are_not_chosen_of_spots(run):
    with pytest.raises(SampleError, match="only Visium HD has bins to choose"):
        read(write_all(run), bin_um=8.0)


def test_bins_of_one_size_in_the_folder_of_another_are_refused(hd):
    hd.factors["bin_size_um"] = 16.0
    with pytest.raises(SampleError, match="speaks of bins of 8 and 16 µm"):
        read(write_all(hd, "tissue_positions.parquet"))


def test_segmented_cells_are_refused(run):
    (run.folder / "segmented_outputs").mkdir(parents=True)
    assert is_space_ranger(run.folder / "segmented_outputs")
    with pytest.raises(SampleError, match="holds segmented cells"):
        read(run.folder / "segmented_outputs")


LIBRARIES = ("LV1", "LB2")


def aggregate(run, *, own_positions=False, table=True):
    """Write a run of two libraries in one matrix; the second counts twice as much."""
    first, names = run.positions, list(run.barcodes)
    second = first.assign(barcode=first["barcode"].str.replace("-1", "-2"))
    run.folder.mkdir(parents=True)
    for number, library in enumerate(LIBRARIES):
        part = run.__class__(run.folder / "spatial" / library)
        part.factors["gem_id"] = number + 1
        part.positions = first
        part.write_spatial()
        for path in part.spatial.iterdir():
            if own_positions or "positions" not in path.name:
                path.rename(part.folder / path.name)
        shutil.rmtree(part.spatial)
    if not own_positions:
        text = first.to_csv(index=False) + second.to_csv(index=False, header=False)
        (run.folder / "aggr_tissue_positions.csv").write_text(text)
    if table:
        rows = "\n".join(f"{name},/x/{name}/molecule_info.h5" for name in LIBRARIES)
        (run.folder / "aggregation.csv").write_text(f"library_id,molecule_h5\n{rows}\n")
    run.barcodes = [*names, *(name.replace("-1", "-2") for name in names)]
    run.counts = np.concatenate([run.counts, run.counts * 2], axis=1)
    run.write_h5()
    return run.folder


@pytest.mark.parametrize("own_positions", [False, True])
@pytest.mark.parametrize("table", [False, True])
def test_of_an_aggregated_run_one_library_is_chosen(run, own_positions, table):
    folder = aggregate(run, own_positions=own_positions, table=table)
    assert is_space_ranger(folder)
    with pytest.raises(SampleError, match=r"2 aggregated libraries \((LV1, LB2|LB2, LV1)\); choose one with"):
        read(folder)
    with pytest.raises(SampleError, match="no library 'LX'"):
        read(folder, library="LX")
    for library, number in (("LB2", 2), ("2", 2), ("LV1", 1)):
        section = read(folder, library=library)
        assert section.spots.counts.sum() == run.counts[:, :44].sum() * number
        assert section.name == LIBRARIES[number - 1]
        assert section.spots.notes == []
        assert section.full_size_px == (3000, 2500)
        assert section.layout.endswith(f"library {LIBRARIES[number - 1]} of an aggregated run")


def test_aggregated_positions_alone_are_told_apart_by_number(run):
    folder = aggregate(run, table=False)
    shutil.rmtree(folder / "spatial")
    with pytest.raises(SampleError, match=r"2 aggregated libraries \(1, 2\)"):
        read(folder)
    assert read(folder, library="2").spots.counts.sum() == run.counts[:, :44].sum() * 2


def test_the_matrix_of_several_libraries_beside_the_positions_of_one_is_not_matched_blindly(run):
    names = list(run.barcodes)
    run.write_spatial()
    run.barcodes = [*names, *(name.replace("-1", "-2") for name in names)]
    run.counts = np.concatenate([run.counts, run.counts * 2], axis=1)
    run.write_h5()
    with pytest.raises(
        SampleError, match=r"holds 2 aggregated libraries \(1, 2\); choose one with --library"
    ):
        read(run.folder)
    assert read(run.folder, library="2").spots.counts.sum() == run.counts[:, :44].sum() * 2


def test_a_run_of_one_library_has_none_to_choose(run):
    with pytest.raises(SampleError, match="is a run of one library; leave out --library LV1"):
        read(write_all(run), library="LV1")


def test_counts_without_positions_are_refused_with_what_to_do(run):
    run.write_h5("raw_probe_bc_matrix.h5")
    assert is_space_ranger(run.folder)
    with pytest.raises(
        SampleError, match=r"has counts \(raw_probe_bc_matrix.h5\) but no spot positions .*copy"
    ):
        read(run.folder)
    (run.folder / "S1_spatial.tar.gz").write_bytes(b"")
    with pytest.raises(SampleError, match=r"unpack S1_spatial\.tar\.gz"):
        read(run.folder)


def test_positions_without_counts_are_refused_but_can_be_read_alone(run):
    run.write_spatial()
    with pytest.raises(SampleError, match="has spot positions but no counts"):
        read(run.folder)
    assert len(read_spatial(run.folder / "spatial").positions) == 48


def test_other_folders_are_not_of_space_ranger(tmp_path, phantom):
    (tmp_path / "matrix.mtx").write_text("")
    assert not is_space_ranger(tmp_path)
    assert not is_space_ranger(tmp_path / "absent")
    assert not is_space_ranger(phantom)
    with pytest.raises(SampleError, match="pass the folder of a Space Ranger run"):
        read(phantom)


def test_a_file_or_nothing_is_refused_with_what_to_pass(run):
    path = run.write_h5()
    assert is_space_ranger(path)
    with pytest.raises(SampleError, match="is a file; pass the folder"):
        read(path)
    with pytest.raises(SampleError, match="no folder at"):
        read(run.folder / "absent")


def test_reading_leaves_the_folder_as_it_is(run):
    folder = write_all(run)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}
    read(folder)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")} == before


@pytest.fixture
def visium(real_data):
    return real_data / "visium"


@pytest.mark.data
def test_a_real_run_of_version_1_is_read_whole(visium):
    folder = visium / "mouse_muscle_spaceranger_1_0"
    section = read(folder)
    spots = section.spots
    assert (section.layout, section.name) == ("Space Ranger 1, Visium", folder.name)
    assert spots.counts.shape == (982, 33217 - 211)
    with h5py.File(folder / "filtered_feature_bc_matrix.h5") as file:
        data, rows, starts = (file[f"matrix/{name}"][:] for name in ("data", "indices", "indptr"))
        symbols = file["matrix/features/name"].asstr()[:]
        names = file["matrix/barcodes"].asstr()[:]
    assert spots.counts.sum(dtype=np.float64) == data.sum()
    at, gene = 137, symbols[rows[starts[137]]]
    of_gene = symbols[rows[starts[at] : starts[at + 1]]] == gene
    spot = spots.barcodes.index(names[at])
    assert spots.counts[spot, spots.genes.index(gene)] == data[starts[at] : starts[at + 1]][of_gene].sum()
    assert (section.full_size_px, section.size_slack_px) == ((22208, 21801), 38)
    assert section.resolutions[0].mpp == pytest.approx(0.35973, abs=1e-5)
    assert {picture.name: picture.size_px for picture in section.pictures} == {
        "lowres": (600, 589),
        "detected tissue": (2000, 1963),
        "aligned fiducials": (2000, 1963),
    }
    assert spots.notes == [
        "symbols of several genes: 136; the counts of each were summed (33217 genes make 33006)"
    ]


@pytest.mark.data
def test_the_genes_of_a_real_run_can_be_named_apart(visium):
    spots = read(visium / "mouse_muscle_spaceranger_1_0", duplicate_genes="unique").spots
    assert spots.counts.shape[1] == len(set(spots.genes)) == len(set(spots.gene_ids)) == 33217


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "n_spots", "mpp", "layout"),
    [
        ("layout_scanpy/1.0.0", 100, 0.72518, "Space Ranger 1.0.0, Visium"),
        ("layout_seurat", 2695, 0.72478, "Space Ranger 1, Visium"),
    ],
)
def test_real_folders_of_small_matrices_are_read(visium, folder, n_spots, mpp, layout):
    section = read(visium / folder)
    assert (len(section.spots), section.layout) == (n_spots, layout)
    assert section.resolutions[0].mpp == pytest.approx(mpp, abs=1e-5)


@pytest.mark.data
def test_a_real_folder_of_probes_alone_is_refused(visium):
    with pytest.raises(SampleError, match=r"has counts .* but no spot positions"):
        read(visium / "layout_scanpy" / "2.1.0")


@pytest.mark.data
def test_real_bins_whose_lattice_and_scale_factors_disagree_are_told(visium):
    fine, coarse = (read(visium / "layout_hd", bin_um=side) for side in (8.0, 16.0))
    assert "factor 2" in str(disagreement(*fine.resolutions))
    assert disagreement(*coarse.resolutions) is None
    assert coarse.resolutions[0].mpp == pytest.approx(0.273761, abs=1e-6)
    assert coarse.layout == "Space Ranger 3 or later, Visium HD, 16 µm bins (CytAssist)"
    assert len(coarse.spots) == 336
    assert coarse.spots.notes[0] == "2053 of 2695 barcodes with counts have no position and were left out"


@pytest.mark.data
def test_other_real_folders_are_not_of_space_ranger(real_data):
    assert not is_space_ranger(real_data / "her2st")
    assert not is_space_ranger(real_data / "st_toy")
    assert not is_space_ranger(real_data / "visium" / "mouse_brain_crop")


@pytest.mark.data
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_real_folder_is_refused_in_one_line_or_read(visium, tmp_path, data):
    source = visium / data.draw(
        st.sampled_from(["layout_scanpy/1.0.0", "layout_hd/binned_outputs/square_016um"])
    )
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, copy_function=shutil.copyfile)
    damage(data.draw(st.sampled_from(sorted(path for path in folder.rglob("*") if path.is_file()))), data)
    told = ""
    try:
        section = read(folder)
    except MisoError as err:
        told = str(err)
    if told:
        assert "\n" not in told
        return
    spots = section.spots
    assert len(spots) == len(set(spots.barcodes)) == len(spots.center_xy) == spots.counts.shape[0]
    assert np.isfinite(spots.center_xy).all()
    assert (spots.counts.data >= 0).all()


def damage(path, data):
    """Cut a file off, or flip some of its bits."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for at in data.draw(st.lists(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=4)):
            content[at // 8] ^= 1 << at % 8
    path.write_bytes(content)


@pytest.mark.data
def test_the_scale_factors_of_a_real_run_may_hold_anything_else(visium, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(visium / "layout_seurat", folder, copy_function=shutil.copyfile)
    for path in folder.rglob("*"):
        path.chmod(0o755)
    path = folder / "spatial" / "scalefactors_json.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"new": [1, None, "x"]}))
    assert len(read(folder).spots) == 2695
