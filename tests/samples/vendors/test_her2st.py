"""HER2ST folders as they are found: every variant read, everything left out counted, all damage named."""

import gzip

import numpy as np
import pandas as pd
import pytest

from miso.errors import AlignmentError, SampleError
from miso.samples.vendors.st.her2st import (
    find_sections,
    incomplete_sections,
    read_section,
)


def spots_of(files):
    section = read_section(files)
    return section.spots, section.resolutions[0]


def test_spots_join_positions_and_counts_by_name_not_by_order(section):
    section.counts = section.counts.iloc[::-1]
    spots, resolution = spots_of(section.write())
    at = spots.barcodes.index("12x6")
    np.testing.assert_array_equal(spots.center_xy[at], [2 * 290 + 200, 290 + 150])
    np.testing.assert_array_equal(spots.array_xy[at], [12, 6])
    np.testing.assert_array_equal(spots.counts[at].toarray(), [[15, 16, 17]])  # the sixth row as it was made
    assert spots.genes == ["g0", "g1", "g2"]
    assert len(spots) == 9
    assert spots.notes == []
    assert resolution.mpp == pytest.approx(200 / 290)
    assert "200 µm" in resolution.source


def test_the_phantom_reads_like_the_real_thing(phantom):
    sections = find_sections(phantom)
    assert [files.name for files in sections] == ["A1", "B1", "C1"]
    assert [files.patient for files in sections] == ["A", "B", "C"]
    for files in sections:
        spots, resolution = spots_of(files)
        table = pd.read_csv(files.counts, sep="\t", index_col=0)
        assert spots.barcodes == [name for name in spots.barcodes if name in table.index]
        np.testing.assert_array_equal(spots.counts.toarray(), table.loc[spots.barcodes])
        assert resolution.mpp == pytest.approx(0.5, rel=0.02)
        assert spots.notes == [f"2 of {len(spots) + 2} selected spots have no counts and were dropped"]


@pytest.mark.parametrize("folder", ["spot-selections", "spot-selection"])
def test_both_spellings_of_the_selection_folder_are_found(section, folder):
    section.selections = folder
    assert find_sections(section.write().counts.parents[1])[0].selection.parent.name == folder


def test_tables_may_be_unpacked(section):
    files = section.write()
    for path in (files.counts, files.selection):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    (found,) = find_sections(section.folder)
    assert found.counts.name == "A1.tsv"
    assert len(read_section(found).spots) == 9


def test_a_section_that_lacks_a_part_is_passed_over(section):
    section.write("A1")
    section.write("A2").image.unlink()
    section.write("B1").counts.unlink()
    assert [files.name for files in find_sections(section.folder)] == ["A1"]


def test_of_two_files_for_one_part_the_packed_one_is_taken(section):
    files = section.write()
    files.counts.with_suffix("").write_text("another table")
    files.image.with_suffix(".tif").write_bytes(files.image.read_bytes())
    (found,) = find_sections(section.folder)
    assert (found.counts, found.image) == (files.counts, files.image)


def test_what_a_mac_leaves_beside_each_file_is_no_section(section):
    files = section.write()
    for path in (files.counts, files.selection, files.image):
        path.with_name(f"._{path.name}").write_bytes(b"Mac OS X")
        (path.parent / ".DS_Store").write_bytes(b"")
    assert [found.name for found in find_sections(section.folder)] == ["A1"]


def test_a_missing_folder_says_what_the_option_wants(tmp_path):
    with pytest.raises(
        SampleError, match=r"no folder at .*absent; --path-dataset is the folder that holds 'count-matrices'"
    ):
        find_sections(tmp_path / "absent")


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("count-matrices", "count-matrices/"),
        ("images/HE", "images/HE/"),
        ("spot-selections", "spot-selections/"),
    ],
)
def test_the_part_that_no_section_has_is_named(section, missing, named):
    section.write()
    for path in (section.folder / missing).iterdir():
        path.unlink()
    with pytest.raises(SampleError, match=f"is no HER2ST folder: it has no {named}"):
        find_sections(section.folder)


def test_an_empty_folder_is_no_dataset(tmp_path):
    with pytest.raises(SampleError, match="it has no count-matrices"):
        find_sections(tmp_path)


def test_parts_whose_names_do_not_match_are_no_section(section):
    files = section.write()
    files.image.rename(files.image.with_name("A1_HE.png"))
    with pytest.raises(
        SampleError, match=r"no section of .* has counts, an image and a spot selection; counts: A1"
    ):
        find_sections(section.folder)


def test_spots_without_counts_are_left_out_and_counted(section):
    section.counts = section.counts.drop(["11x5", "12x7"])
    spots, _ = spots_of(section.write())
    assert len(spots) == 7
    assert "11x5" not in spots.barcodes
    assert spots.notes == ["2 of 9 selected spots have no counts and were dropped"]


def test_spots_that_are_not_selected_are_left_out_with_their_counts(section):
    section.spots.loc[[0, 4, 8], "selected"] = 0
    spots, _ = spots_of(section.write())
    assert len(spots) == 6
    assert not {"10x5", "11x6", "12x7"} & set(spots.barcodes)
    assert spots.notes == [
        "3 of 9 spots are marked as not selected and were left out",
        "3 of 9 rows of counts have no selected spot and were dropped",
    ]


def test_spots_left_out_for_both_reasons_are_counted_apart(section):
    section.spots.loc[[0, 4, 8], "selected"] = 0
    section.counts = section.counts.drop(["11x5", "12x7"])  # of which 12x7 is not selected
    spots, _ = spots_of(section.write())
    assert len(spots) == 5
    assert spots.notes == [
        "3 of 9 spots are marked as not selected and were left out",
        "1 of 6 selected spots have no counts and were dropped",
        "2 of 7 rows of counts have no selected spot and were dropped",
    ]


def test_a_file_without_the_column_selected_selects_all(section):
    del section.spots["selected"]
    assert len(read_section(section.write()).spots) == 9


def test_a_file_that_selects_nothing_says_so(section):
    section.spots["selected"] = 0
    with pytest.raises(
        SampleError, match=r"none of the 9 spots of 'A1_selection\.tsv\.gz' is marked as selected"
    ):
        read_section(section.write())


def test_the_printed_position_beats_the_planned_one_in_the_pitch(section):
    section.spots["new_x"], section.spots["new_y"] = section.spots.x * 1.01, section.spots.y * 1.01
    spots, resolution = spots_of(section.write())
    assert spots.barcodes[0] == "10x5"
    np.testing.assert_allclose(spots.array_xy[0], [10.1, 5.05])
    assert resolution.mpp == pytest.approx(200 / 290 * 1.01)


@pytest.mark.parametrize("absent", [["pixel_x"], ["x", "y"], ["pixel_x", "pixel_y"]])
def test_missing_columns_are_named_with_those_that_are_there(section, absent):
    section.spots = section.spots.drop(columns=absent)
    with pytest.raises(SampleError, match=f"lacks the columns? {', '.join(absent)}; .*found: .*selected"):
        read_section(section.write())


@pytest.mark.parametrize("value", ["left", "", "inf", "nan"])
@pytest.mark.parametrize("column", ["x", "pixel_y", "new_x"])
def test_positions_that_are_no_numbers_are_refused(section, column, value):
    section.spots["new_x"], section.spots["new_y"] = section.spots.x, section.spots.y
    section.spots = section.spots.astype({column: object})
    section.spots.loc[[2, 5], column] = value
    with pytest.raises(
        SampleError, match=r"'A1_selection\.tsv\.gz' has 2 rows without numbers in x, y, pixel_x"
    ):
        read_section(section.write())


def test_a_selection_without_rows_is_refused(section):
    section.spots = section.spots.iloc[:0]
    with pytest.raises(SampleError, match="has no rows"):
        read_section(section.write())


@pytest.mark.parametrize("part", ["counts", "selection"])
def test_a_truncated_table_is_refused_by_name(section, cut_gzip, part):
    files = section.write()
    cut_gzip(getattr(files, part))
    with pytest.raises(
        SampleError, match=rf"{getattr(files, part).name} is truncated or damaged .*; fetch it again"
    ):
        read_section(files)


@pytest.mark.parametrize("part", ["counts", "selection"])
@pytest.mark.parametrize("content", [b"no gzip at all", bytes(100)], ids=["text", "zeros"])
def test_a_table_that_is_no_gzip_is_refused_by_name(section, part, content):
    files = section.write()
    getattr(files, part).write_bytes(content)
    with pytest.raises(SampleError, match="is truncated or damaged"):
        read_section(files)


@pytest.mark.parametrize("part", ["counts", "selection"])
@pytest.mark.parametrize("content", [b"", gzip.compress(b"")], ids=["no bytes", "packed nothing"])
def test_an_empty_table_is_refused_by_name(section, part, content):
    files = section.write()
    getattr(files, part).write_bytes(content)
    with pytest.raises(SampleError, match=f"{getattr(files, part).name} is empty"):
        read_section(files)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_negative_and_missing_counts_are_refused(section, value):
    section.counts = section.counts.astype(float)
    section.counts.iloc[3, 1] = value
    with pytest.raises(
        SampleError, match=r"'A1\.tsv\.gz' holds negative or missing counts; is it normalised already"
    ):
        read_section(section.write())


def test_counts_that_are_words_are_refused(section):
    section.counts = section.counts.astype(object)
    section.counts.iloc[3, 1] = "many"
    with pytest.raises(SampleError, match=r"'A1\.tsv\.gz' holds something other than numbers"):
        read_section(section.write())


@pytest.mark.parametrize("kept", [slice(0, 0), slice(None)], ids=["no rows", "no columns"])
def test_a_count_matrix_without_counts_is_refused(section, kept):
    section.counts = section.counts.iloc[kept] if kept == slice(0, 0) else section.counts[[]]
    with pytest.raises(SampleError, match=r"'A1\.tsv\.gz' holds no counts"):
        read_section(section.write())


@pytest.mark.parametrize("table", ["counts", "spots"])
def test_a_spot_that_is_named_twice_is_refused(section, table):
    twice = getattr(section, table)
    setattr(section, table, pd.concat([twice, twice.iloc[[4]]]))
    with pytest.raises(SampleError, match="names the spot 11x6 twice"):
        read_section(section.write())


def test_tables_of_different_sections_do_not_belong_together(section):
    section.counts.index = [f"{name}_1" for name in section.counts.index]
    with pytest.raises(
        AlignmentError, match=r"no spot of .* has counts in .*spots look like '10x5', counts like '10x5_1'"
    ):
        read_section(section.write())


def test_a_transposed_count_matrix_does_not_belong_either(section):
    section.counts = section.counts.T
    with pytest.raises(AlignmentError, match="counts like 'g0'"):
        read_section(section.write())


@pytest.mark.parametrize("flat", ["x", "pixel_y"])
def test_spots_on_one_line_give_no_resolution(section, flat):
    section.spots[flat] = 7
    if flat == "x":
        section.spots["y"] = range(9)
        section.counts.index = [f"7x{i}" for i in range(9)]
    with pytest.raises(AlignmentError, match="section A1: the lattice pitch needs"):
        read_section(section.write())


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "n_spots", "dropped"), [("C2", 187, 0), ("C3", 180, 2), ("C4", 184, 3), ("C5", 181, 2)]
)
def test_the_real_sections_have_the_known_spots_and_resolution(real_data, name, n_spots, dropped):
    files = {found.name: found for found in find_sections(real_data / "her2st")}[name]
    spots, resolution = spots_of(files)
    assert len(spots) == n_spots
    lacking = [note for note in spots.notes if "have no counts" in note]
    expected = [f"{dropped} of {n_spots + dropped} selected spots have no counts and were dropped"]
    assert lacking == (expected if dropped else [])
    assert resolution.mpp == pytest.approx(0.688, rel=0.01)
    assert files.patient == "C"


def test_sections_that_lack_a_part_are_named_with_what_they_lack(section):
    section.write("A1")
    section.write("A2").image.unlink()
    files = section.write("B1")
    files.counts.unlink()
    files.selection.unlink()
    assert incomplete_sections(section.folder) == {"A2": ["an image"], "B1": ["counts", "a spot selection"]}


def test_a_whole_folder_lacks_nothing(phantom):
    assert incomplete_sections(phantom) == {}


def test_a_vendor_section_holds_the_same_spots_and_the_image(section):
    files = section.write()
    spots, resolution = spots_of(files)
    found = read_section(files)
    assert (found.name, found.image, found.resolutions) == ("A1", files.image, [resolution])
    assert found.spots.barcodes == spots.barcodes
    assert found.inputs == [files.counts, files.selection, files.image]


def test_a_gene_that_is_there_twice_keeps_both_columns_by_number(section):
    section.counts = section.counts.set_axis(["A", "B", "A"], axis=1)
    spots, _ = spots_of(section.write())
    assert spots.genes == ["A", "B", "A-1"]
    np.testing.assert_array_equal(spots.counts.toarray(), section.counts)


def test_a_position_far_off_the_lattice_is_refused(section):
    section.spots.loc[4, "pixel_x"] += 30_000
    with pytest.raises(AlignmentError, match=r"not of one lattice: spots lie up to"):
        read_section(section.write())
