"""HDF5 files and Zarr stores that lead out of themselves, or round in circles: refused, nothing followed."""

import json
import os
import shutil

import anndata
import h5py
import numpy as np
import pytest
import zarr

from miso.errors import MapError, MisoError, SampleError, SlideError
from miso.geometry import Raster
from miso.maps.expression_map import open_map
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.store import new_map
from miso.maps.thumbnail import Thumbnail
from miso.samples import open_sample
from miso.samples.vendors.files.hdf5 import open_hdf5
from miso.samples.vendors.scverse.h5ad import read_h5ad
from miso.samples.vendors.scverse.spatial_data import read_spatial_data
from miso.samples.vendors.section import VendorOptions
from miso.slides import open_slide
from miso.untrusted.hdf5_links import check_hdf5
from miso.view.spots import open_spots

SECRET = b"what only its owner may read, 40 bytes.."


@pytest.fixture
def secret(tmp_path):
    """A private file, and an HDF5 file beside it."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["values"] = np.frombuffer(SECRET, dtype="u1")
    return tmp_path / "secret.txt"


def external_link(file, secret):
    file["uns/far"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/values")


def external_storage(file, secret):
    file["uns"].create_dataset("far", shape=(40,), dtype="u1", external=[(str(secret), 0, 40)])


def virtual_dataset(file, secret):
    layout = h5py.VirtualLayout(shape=(40,), dtype="u1")
    layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "values", shape=(40,))
    file["uns"].create_virtual_dataset("far", layout)


def soft_link_circle(file, secret):
    file["uns/far"] = h5py.SoftLink("/uns")


def soft_links_of_each_other(file, secret):
    file["uns/far"], file["uns/near"] = h5py.SoftLink("/uns/near"), h5py.SoftLink("/uns/far")


def hard_link_circle(file, secret):
    file["uns/far"] = file["/"]


WAYS = [
    external_link,
    external_storage,
    virtual_dataset,
    soft_link_circle,
    soft_links_of_each_other,
    hard_link_circle,
]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def leaky(request, secret, tmp_path):
    """An .h5ad of three spots that leads elsewhere."""
    adata = anndata.AnnData(X=np.eye(3, dtype=np.float32))
    adata.obsm["spatial"] = np.eye(3, 2)
    adata.uns["miso"] = {"sample": "S1", "units": "counts", "spot_diameter_um": 55.0}
    path = tmp_path / "S1.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        request.param(file, secret)
    return path


def refusal(error: type[MisoError], call, *arguments: object) -> str:
    with pytest.raises(error) as caught:
        call(*arguments)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert "uns/far" in said or "uns/near" in said
    return said


def test_h5ad_of_a_vendor_that_leads_elsewhere_is_refused(leaky):
    refusal(SampleError, read_h5ad, leaky, VendorOptions())


def test_predictions_that_lead_elsewhere_are_refused(leaky):
    refusal(SampleError, open_spots, leaky)


def test_image_in_an_h5ad_that_leads_elsewhere_is_refused(leaky):
    refusal(SlideError, open_slide, leaky)


def test_sample_whose_file_leads_elsewhere_is_refused(leaky, processed, tmp_path):
    folder = tmp_path / "A1"
    shutil.copytree(processed / "A1", folder)
    shutil.copy(leaky, folder / "adata.h5ad")
    for ask in ("adata", "genes", "n_spots"):
        with pytest.raises(SampleError, match="uns"):
            getattr(open_sample(folder), ask)


def test_counts_of_space_ranger_that_lead_elsewhere_are_refused(secret, tmp_path):
    path = tmp_path / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "w") as file:
        file["matrix/barcodes"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/values")
    with pytest.raises(SampleError, match="external link"), open_hdf5(path):
        pass


def test_files_without_links_are_read(processed):
    check_hdf5(processed / "A1" / "adata.h5ad")
    assert open_sample(processed / "A1").adata.n_obs


def image_store(path, level: str = "0"):
    """An OME-Zarr image of 64 × 64 px whose attributes call its level so."""
    group = zarr.create_group(path, zarr_format=2)
    group.create_array("0", data=np.zeros((3, 64, 64), np.uint8), chunks=(3, 64, 64), fill_value=7)
    axes = [{"name": name} for name in "cyx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": level}]}]
    return path


def test_image_store_without_links_is_read(tmp_path):
    with open_slide(image_store(tmp_path / "i.zarr"), 0.5) as slide:
        assert slide.size_px == (64, 64)


@pytest.mark.parametrize(
    "level", ["../other.zarr/0", "../../0", "/0/../../other.zarr/0", "./0/..", "0/../../other.zarr/0", "a\0b"]
)
def test_level_of_an_image_outside_of_its_store_is_refused(level, tmp_path):
    image_store(tmp_path / "other.zarr")
    with pytest.raises(SlideError) as caught:
        open_slide(image_store(tmp_path / "i.zarr", level), 0.5)
    assert len(str(caught.value).splitlines()) == 1


def lead_out(store, secret) -> None:
    """Put a link to a private file in the place of a store's first chunk, or beside it."""
    (store / "far").symlink_to(secret)


def to_folder(store, secret) -> None:
    (store / "far").symlink_to(secret.parent)


def to_itself(store, secret) -> None:
    (store / "far").symlink_to(store)


def to_device(store, secret) -> None:
    (store / "far").symlink_to("/dev/zero")


def pipe(store, secret) -> None:
    os.mkfifo(store / "far")


OUT = [lead_out, to_folder, to_itself, to_device, pipe]


@pytest.mark.parametrize("way", OUT)
def test_image_store_with_a_link_out_of_it_is_refused(way, secret, tmp_path):
    store = image_store(tmp_path / "i.zarr")
    way(store, secret)
    with pytest.raises(SlideError, match="far"):
        open_slide(store, 0.5)


@pytest.mark.parametrize("way", OUT)
def test_map_with_a_link_out_of_it_is_refused(way, secret, tmp_path):
    path = expression_map(tmp_path / "m.zarr")
    assert open_map(path)["KRT8"].shape == (2, 2)
    way(path, secret)
    with pytest.raises(MapError, match="far"):
        open_map(path)


@pytest.mark.parametrize("way", OUT)
def test_spatial_data_with_a_link_out_of_it_is_refused(way, secret, tmp_path):
    pytest.importorskip("spatialdata")
    store = tmp_path / "s.zarr"
    (store / "tables").mkdir(parents=True)
    (store / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}))
    way(store, secret)
    with pytest.raises(SampleError, match="far"):
        read_spatial_data(store, VendorOptions())


def test_store_that_is_itself_a_link_or_links_within_itself_is_read(tmp_path):
    store = image_store(tmp_path / "there" / "i.zarr")
    (store / "again").symlink_to(store / "0")
    (tmp_path / "here.zarr").symlink_to(store)
    with open_slide(tmp_path / "here.zarr", 0.5) as slide:
        assert slide.size_px == (64, 64)


def test_header_of_a_map_that_is_nested_or_huge_is_refused(tmp_path, attack):
    path = expression_map(tmp_path / "m.zarr")
    (path / "zarr.json").write_text('{"zarr_format": 3, "attributes": {"miso": ' + "[" * 200_000)
    with pytest.raises(MapError) as caught:
        open_map(path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("key", "value"),
    [("shape", [10**9, 10**9]), ("genes", ["A"] * 3), ("slide", None), ("step_xy", ["a", "b"]), ("genes", 5)],
)
def test_header_of_a_map_that_does_not_fit_its_arrays_is_refused(key, value, tmp_path):
    path = expression_map(tmp_path / "m.zarr")
    said = json.loads((path / "zarr.json").read_text())
    said["attributes"]["miso"][key] = value
    said.pop("consolidated_metadata", None)
    (path / "zarr.json").write_text(json.dumps(said))
    with pytest.raises(MapError):
        open_map(path)


def test_thumbnail_that_claims_a_terabyte_is_refused(tmp_path, attack):
    path = expression_map(tmp_path / "m.zarr")
    said = json.loads((path / "thumbnail" / "zarr.json").read_text())
    said["shape"] = [10**6, 10**6, 3]
    said["chunk_grid"]["configuration"]["chunk_shape"] = [10**6, 10**6, 3]
    (path / "thumbnail" / "zarr.json").write_text(json.dumps(said))
    (path / "zarr.json").write_text((path / "zarr.json").read_text().replace("[4, 4, 3]", "[1, 1, 3]"))
    start = "from miso.maps.expression_map import open_map"
    assert attack(start, f"open_map({str(path)!r})", mib=600, seconds=30).startswith("refused:")


def expression_map(path):
    """A map of one gene over 2 × 2 cells."""
    slide = SlideRecord(name="s", path="/s", size_px=(32, 32), mpp=0.5, mpp_source="test", fingerprint="0")
    header = MapHeader(
        genes=("KRT8",),
        units="counts",
        pitch_um=8.0,
        raster=Raster(origin_xy=(8.0, 8.0), step_px=16.0, shape=(2, 2)),
        slide=slide,
        provenance={},
    )
    small = Thumbnail(rgb=np.zeros((4, 4, 3), np.uint8), slide_size_px=(32, 32))
    with new_map(path, header, small, keep=np.ones((2, 2), np.bool_)) as writer:
        writer.put(0, [np.ones((1, 2, 2), np.float32)])
    return path
