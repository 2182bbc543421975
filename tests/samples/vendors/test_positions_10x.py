"""Tissue positions of every version: the same spots whatever the file, and every kind of damage named."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miso.errors import AlignmentError, SampleError
from miso.samples.vendors.space_ranger.lattice import check_hd_barcodes, read_lattice
from miso.samples.vendors.space_ranger.positions import read_positions

FORMS = {
    "headerless": ("tissue_positions_list.csv", False),
    "with a header": ("tissue_positions.csv", True),
    "an old name with a header": ("tissue_positions_list.csv", True),
    "parquet": ("tissue_positions.parquet", True),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_spots(run, form):
    name, header = FORMS[form]
    found = read_positions(run.write_spatial(name, header=header))
    table = run.positions
    assert found.barcodes.to_pylist() == list(table["barcode"])
    np.testing.assert_array_equal(found.center_xy, table[["pxl_col_in_fullres", "pxl_row_in_fullres"]])
    np.testing.assert_array_equal(found.array_xy, table[["array_col", "array_row"]])
    assert found.in_tissue.sum() == 44
    assert found.center_xy.dtype == np.float64


def test_whole_and_broken_pixels_are_read_alike(run):
    run.positions["pxl_row_in_fullres"] = run.positions["pxl_row_in_fullres"].round().astype(int)
    found = read_positions(run.write_spatial())
    np.testing.assert_array_equal(found.center_xy[:, 1], run.positions["pxl_row_in_fullres"])


def test_a_packed_file_and_one_with_a_byte_order_mark_are_read(run):
    path = run.write_spatial()
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + path.read_bytes()))
    assert len(read_positions(packed)) == 48


def test_columns_are_found_by_name_in_any_order_and_as_other_tools_call_them(run):
    path = run.write_spatial()
    turned = run.positions[run.positions.columns[::-1]].rename(
        columns={"pxl_row_in_fullres": "imagerow", "pxl_col_in_fullres": "imagecol", "in_tissue": "tissue"}
    )
    turned.assign(more="x").to_csv(path, index=False, sep=";")
    found = read_positions(path)
    np.testing.assert_array_equal(found.center_xy[:, 0], run.positions["pxl_col_in_fullres"])


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("in_tissue", 2, "in_tissue is neither 0 nor 1"),
        ("in_tissue", "", "in_tissue is neither 0 nor 1"),
        ("array_row", -1, "an array position is no whole number"),
        ("array_col", 1.5, "an array position is no whole number"),
        ("array_col", 10**12, "an array position is no whole number"),
        ("pxl_row_in_fullres", "nan", "a pixel position is no number"),
        ("pxl_col_in_fullres", "-inf", "a pixel position is no number"),
        ("pxl_col_in_fullres", 1e200, "a pixel position is no number"),
        ("pxl_col_in_fullres", "12x", "a pixel position is no number"),
    ],
)
def test_a_row_that_is_no_position_is_named(run, column, value, why):
    run.positions[column] = run.positions[column].astype(object)
    run.positions.loc[4, column] = value
    with pytest.raises(SampleError, match=rf"in 1 of 48 rows \(first: row 5\) {why}"):
        read_positions(run.write_spatial())


def test_a_barcode_that_occurs_twice_is_named(run):
    run.positions.loc[7, "barcode"] = run.positions.loc[3, "barcode"]
    with pytest.raises(SampleError, match=r"names the barcode 'TAAAAAAA-1' twice"):
        read_positions(run.write_spatial())


@pytest.mark.parametrize("name", ["tissue_positions.csv", "tissue_positions.parquet"])
def test_a_missing_column_is_named(run, name):
    del run.positions["array_row"]
    with pytest.raises(
        SampleError, match=r"lacks the column array_row; Space Ranger writes barcode, in_tissue"
    ):
        read_positions(run.write_spatial(name))


def test_a_headerless_file_of_other_columns_is_refused(run):
    del run.positions["array_row"]
    with pytest.raises(SampleError, match=r"has 48 rows \(first: row 1\) of other than 6 columns"):
        read_positions(run.write_spatial("tissue_positions_list.csv", header=False))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "lists no spot"),
        (b"\n\n", "lists no spot"),
        (b"\xff\xfe\x00garbage", "truncated or damaged"),
        (b"\x1f\x8b\x08\x00cut off", "truncated or damaged"),
        (b'"ACGT-1,0,0,0,1,1\n', "truncated or damaged"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, why):
    path = tmp_path / "tissue_positions.csv"
    path.write_bytes(content)
    with pytest.raises(SampleError, match=why):
        read_positions(path)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "tissue_positions.parquet"
    path.write_bytes(b"PAR1 not at all PAR1")
    with pytest.raises(SampleError, match="truncated or damaged"):
        read_positions(path)


def turned(table: pd.DataFrame, degrees: float, mpp: float) -> pd.DataFrame:
    """Place the spots on an image of another resolution that lies turned."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    xy = table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() @ matrix * (0.5 / mpp) + 9000
    return table.assign(pxl_col_in_fullres=xy[:, 0], pxl_row_in_fullres=xy[:, 1])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(degrees=st.floats(0, 360), mpp=st.floats(0.1, 8))
def test_the_lattice_tells_the_resolution_however_the_slide_lies(run, degrees, mpp):
    run.positions = turned(run.__class__(run.folder).positions, degrees, mpp)
    lattice = read_lattice(read_positions(run.write_spatial()), None)
    assert lattice.resolution is not None
    assert lattice.resolution.mpp == pytest.approx(mpp, rel=1e-6)
    assert not lattice.mirrored


def test_the_lattice_of_square_bins_tells_the_resolution(hd):
    lattice = read_lattice(read_positions(hd.write_spatial("tissue_positions.parquet")), 8.0)
    assert lattice.resolution is not None
    assert lattice.resolution.mpp == pytest.approx(0.5)
    assert str(lattice.resolution) == "0.5 µm/px (lattice pitch of 8 µm)"
    assert lattice.mirrored


def test_positions_rounded_on_a_coarse_image_lie_on_the_lattice(run):
    run.positions = turned(run.positions, 0, 5.0).round({"pxl_row_in_fullres": 0, "pxl_col_in_fullres": 0})
    lattice = read_lattice(read_positions(run.write_spatial()), None)
    assert lattice.resolution is not None
    assert lattice.resolution.mpp == pytest.approx(5, rel=0.01)


@pytest.mark.parametrize("far", [25, 9000])
def test_a_spot_off_the_lattice_is_named_and_does_not_drag_others_along(run, far):
    run.positions.loc[20, "pxl_col_in_fullres"] += far
    name = run.positions.loc[20, "barcode"]
    wanted = rf"1 of 48 spots of .* lie more than 10 µm off .*\(worst: '{name}', {far / 2:.4g}"
    with pytest.raises(AlignmentError, match=wanted[:-1]):
        read_lattice(read_positions(run.write_spatial()), None)


def test_array_rows_and_columns_that_are_swapped_are_recognised(run):
    run.positions[["array_row", "array_col"]] = run.positions[["array_col", "array_row"]].to_numpy()
    with pytest.raises(
        AlignmentError, match=r"array_row and array_col of 'tissue_positions.csv' are swapped"
    ):
        read_lattice(read_positions(run.write_spatial()), None)


def test_array_and_pixel_columns_that_are_mixed_up_are_recognised(run):
    table = run.positions.round()
    swapped = {"array_row": "pxl_row_in_fullres", "pxl_row_in_fullres": "array_row"}
    run.positions = table.rename(columns=swapped)[list(table)]
    with pytest.raises(AlignmentError, match=r"stretched|off the lattice"):
        read_lattice(read_positions(run.write_spatial()), None)


def test_pixels_that_were_scaled_unevenly_are_recognised(run):
    run.positions["pxl_col_in_fullres"] *= 1.4
    with pytest.raises(AlignmentError, match=r"stretched 1\.4 : 1 between array and pixels"):
        read_lattice(read_positions(run.write_spatial()), None)


def test_a_scale_that_no_microscope_has_is_refused(run):
    run.positions = turned(run.positions, 0, 60.0)
    with pytest.raises(AlignmentError, match="a pixel spans 60 µm"):
        read_lattice(read_positions(run.write_spatial()), None)


def test_spots_on_one_line_tell_no_resolution_and_that_is_noted(run):
    run.positions = run.positions.iloc[:6]
    lattice = read_lattice(read_positions(run.write_spatial()), None)
    assert lattice.resolution is None
    assert "not on one line" in lattice.notes[0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"array_col": "array_row", "array_row": "array_col"}, "the two columns are swapped"),
        ({}, "the file is damaged or edited"),
    ],
)
def test_bins_whose_barcodes_say_other_places_are_refused(hd, change, why):
    if change:
        hd.positions = hd.positions.rename(columns=change)
    else:
        hd.positions.loc[50, "array_col"] += 1
    positions = read_positions(hd.write_spatial("tissue_positions.parquet"))
    with pytest.raises(AlignmentError, match=rf"than their barcode says .*{why}"):
        check_hd_barcodes(positions, 8.0)


def test_bins_of_another_size_than_their_folder_are_refused(hd):
    positions = read_positions(hd.write_spatial("tissue_positions.parquet"))
    with pytest.raises(AlignmentError, match=r"places bins of 8 µm .* of 16 µm bins"):
        check_hd_barcodes(positions, 16.0)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_in_one_line_or_still_on_the_lattice(run, form, data):
    name, header = FORMS[form]
    path = run.write_spatial(name, header=header)
    path.write_bytes(damaged(path.read_bytes(), data))
    told = ""
    try:
        found = read_positions(path)
        read_lattice(found, None)
    except (SampleError, AlignmentError) as err:
        told = str(err)
    if told:
        assert re.fullmatch(r"[^\n]{20,600}", told)
        return
    assert np.isfinite(found.center_xy).all()
    known = dict(zip(run.positions["barcode"], run.positions["pxl_col_in_fullres"], strict=True))
    names = found.barcodes.to_pylist()
    off = [abs(xy[0] - known[n]) for n, xy in zip(names, found.center_xy, strict=True) if n in known]
    assert (
        not off or len(found) < 48 or max(off) <= 40
    )  # 10 µm from the lattice at 0.5 µm/px, and its own tilt


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """Cut a file off, flip some of its bits, or overwrite a stretch."""
    at = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["cut", "flip", "overwrite"])):
        case "cut":
            return content[:at]
        case "flip":
            return content[:at] + bytes([content[at] ^ 1 << data.draw(st.integers(0, 7))]) + content[at + 1 :]
    stretch = data.draw(st.binary(min_size=1, max_size=40))
    return content[:at] + stretch + content[at + len(stretch) :]
