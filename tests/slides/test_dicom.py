"""A folder with one DICOM slide is that slide."""

import shutil

import pytest

from miso.errors import SlideError
from miso.slides import open_slide
from miso.slides.dicom import slide_in

SERIES = b"\x20\x00\x0e\x00UI"


def dicom(path, series):
    identity = series.encode()
    path.write_bytes(
        bytes(128) + b"DICM" + SERIES + len(identity).to_bytes(2, "little") + identity + bytes(9)
    )


def test_the_files_of_one_series_are_one_slide(tmp_path):
    for name in ("b.dcm", "a.dcm"):
        dicom(tmp_path / name, "1.2.3")
    (tmp_path / "notes.txt").write_text("scanned on Monday")
    assert slide_in(tmp_path) == tmp_path / "a.dcm"
    assert slide_in(tmp_path / "b.dcm") == tmp_path / "b.dcm"


def test_two_slides_in_a_folder_are_told_apart(tmp_path):
    dicom(tmp_path / "a.dcm", "1.2.3")
    dicom(tmp_path / "b.dcm", "1.2.4")
    with pytest.raises(SlideError, match=r"holds 2 DICOM slides; pass a file of one of them: a\.dcm, b\.dcm"):
        slide_in(tmp_path)


def test_a_folder_without_dicom_is_no_slide(tmp_path):
    (tmp_path / "notes.txt").write_text("DICM")
    with pytest.raises(SlideError, match="that is a folder"):
        slide_in(tmp_path)


@pytest.mark.data
def test_a_real_dicom_folder_opens(real_data, tmp_path):
    for file in (real_data / "wsi").glob("*.dcm"):
        shutil.copy(file, tmp_path)
    with open_slide(tmp_path) as folder, open_slide(tmp_path / "openslidepy_boxes_0.dcm") as file:
        assert folder.size_px == file.size_px == (16, 16)
        assert folder.mpp == pytest.approx(0.499)
        assert (folder.read((0, 0), (16, 16), 0.499) == file.read((0, 0), (16, 16), 0.499)).all()
