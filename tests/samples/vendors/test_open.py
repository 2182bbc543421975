"""One door for every layout: what lies there is told by what it holds, and anything else is named."""

from functools import partial

import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from miso.errors import SampleError
from miso.samples.vendors import open as door
from miso.samples.vendors.open import read_vendor
from miso.samples.vendors.section import VendorOptions

OPTIONS = VendorOptions()


def legacy(folder):
    """Four spots of a legacy array."""
    folder.mkdir()
    xy = np.array([[1, 1], [2, 1], [1, 2], [2, 2]])
    names = [f"{x}x{y}" for x, y in xy]
    pd.DataFrame({"A": range(4)}, index=names).to_csv(folder / "a.tsv", sep="\t")
    table = {"x": xy[:, 0], "y": xy[:, 1], "pixel_x": xy[:, 0] * 200, "pixel_y": xy[:, 1] * 200}
    pd.DataFrame(table).to_csv(folder / "b.tsv", sep="\t", index=False)
    return folder


def test_a_legacy_folder_is_recognised(tmp_path):
    section = read_vendor(legacy(tmp_path / "st"), OPTIONS)
    assert section.layout == "legacy Spatial Transcriptomics"
    assert section.resolutions[0].mpp == pytest.approx(1.0)


def test_an_h5ad_is_recognised_under_another_name(tmp_path):
    adata = anndata.AnnData(X=np.ones((3, 2), np.float32), obs=pd.DataFrame(index=["a", "b", "c"]))
    adata.obsm["spatial"] = np.arange(6.0).reshape(3, 2)
    adata.write_h5ad(tmp_path / "section.hdf5")
    assert read_vendor(tmp_path / "section.hdf5", OPTIONS).layout == "AnnData .h5ad (Visium)"


def test_a_her2st_folder_is_sent_to_its_command(phantom):
    with pytest.raises(SampleError, match=r"is a HER2ST folder of several sections; run miso process-her2st"):
        read_vendor(phantom, OPTIONS)


def test_a_sample_is_one_already(processed):
    with pytest.raises(SampleError, match="is a Sample already: it is ready for miso train"):
        read_vendor(processed / "A1", OPTIONS)


def test_the_originals_folder_is_sent_to_the_import(tmp_path):
    np.save(tmp_path / "features.npy", np.zeros((3, 5)))
    with pytest.raises(SampleError, match=r"the original MISO made.*miso process-data --path-visium"):
        read_vendor(tmp_path, OPTIONS)


def test_a_folder_around_one_file_names_it(tmp_path):
    (tmp_path / "s.h5ad").touch()
    with pytest.raises(SampleError, match=r"holds s\.h5ad: pass it instead"):
        read_vendor(tmp_path, OPTIONS)
    (tmp_path / "t.zarr").mkdir()
    with pytest.raises(SampleError, match=r"holds s\.h5ad, t\.zarr: pass one of them instead"):
        read_vendor(tmp_path, OPTIONS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", b"hello", "is a file that MISO does not know; expected a Space Ranger folder"),
        ("empty", b"", "is a file that MISO does not know"),
        ("s.h5ad", b"no HDF5", r"s\.h5ad is truncated or damaged"),
    ],
)
def test_other_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SampleError, match=message):
        read_vendor(tmp_path / name, OPTIONS)


def test_an_image_is_told_where_it_belongs(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "slide.png")
    with pytest.raises(SampleError, match="is an image: pass it as --path-slide"):
        read_vendor(tmp_path / "slide.png", OPTIONS)


def test_other_folders_say_what_they_hold_and_what_is_known(tmp_path):
    with pytest.raises(
        SampleError, match=r"is an empty folder; expected a Space Ranger folder .*legacy ST.*h5ad"
    ):
        read_vendor(tmp_path, OPTIONS)
    for i in range(9):
        (tmp_path / f"f{i}.bin").touch()
    with pytest.raises(SampleError, match=r"holds f0\.bin, .*f5\.bin …; expected"):
        read_vendor(tmp_path, OPTIONS)


def test_nothing_there_is_nothing(tmp_path):
    with pytest.raises(SampleError, match="nothing at"):
        read_vendor(tmp_path / "absent", OPTIONS)


def test_no_two_readers_claim_one_layout(tmp_path, phantom, processed):
    for path in (legacy(tmp_path / "st"), phantom, processed / "A1", tmp_path):
        assert sum(is_it(path) for is_it, _ in door.READERS) <= 1


@pytest.mark.data
def test_everything_real_is_read_or_refused_on_one_line(real_data, refusal):
    for path in sorted([*real_data.iterdir(), *real_data.glob("*/*"), *real_data.glob("*/*/*.h5ad")]):
        assert "\n" not in refusal(partial(read_vendor, path, OPTIONS))
    known = {
        "st_toy": 282,
        "visium/mouse_brain_crop/test_data.h5ad": 49,
        "visium/mouse_muscle_spaceranger_1_0": 982,
    }
    assert {name: len(read_vendor(real_data / name, OPTIONS).spots) for name in known} == known
