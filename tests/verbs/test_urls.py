"""The road over a store that speaks S3: inputs are fetched, Samples published, and skipped the next time."""

from dataclasses import replace

import pytest

import miso as package
from miso.phantom import PhantomSpec, write_phantom
from miso.phantom.layouts.catalog import LAYOUTS
from miso.storage.store import fetch, published

from ..storage.s3 import BUCKET, objects, serve_s3

SMALL = ("--encoder", "stain", "--tile-size", 64, "--knn", 3, "--device", "cpu")


@pytest.fixture(scope="module")
def store():
    with serve_s3() as told:
        yield told


def put(folder, url):
    for file in folder.rglob("*"):
        if file.is_file():
            objects().put_file(
                str(file), f"{url}/{file.relative_to(folder).as_posix()}".removeprefix("s3://")
            )


def test_samples_of_a_store_are_those_of_a_disk(store, run_miso, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = PhantomSpec(seed=5, n_patients=2, n_sections=1, size_um=600, n_visible=4, n_null=1)
    spec = replace(spec, array=LAYOUTS["space-ranger-2"].array)
    vendor, url = write_phantom(spec, tmp_path / "vendor", "space-ranger-2"), f"s3://{BUCKET}/cohort"
    put(vendor, f"{url}/in")
    for place, name in ((str(vendor), "here.csv"), (f"{url}/in", "there.csv")):
        rows = [f"{place}/{one},{place}/images/{one}.jpg,{one}" for one in spec.sections]
        (tmp_path / name).write_text("\n".join(["path,slide,name", *rows]) + "\n")
    there = ("process-cohort", "there.csv", "--out", f"{url}/samples", "--cache", tmp_path / "cache", *SMALL)
    assert run_miso("process-cohort", "here.csv", "--out", "samples", *SMALL)[0] == 0
    assert run_miso(*there)[0] == 0
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size]
    for name in spec.sections:
        assert published(f"{url}/samples/{name}")["name"] == name
        copy = package.open_sample(fetch(f"{url}/samples/{name}", tmp_path / "copy"))
        mine = package.open_sample(tmp_path / "samples" / name)
        assert (copy.patch_features[:] == mine.patch_features[:]).all()
        assert (copy.adata.X != mine.adata.X).nnz == 0

    store.calm()
    code, _, err = run_miso(*there)
    assert code == 0
    assert err.count(f"already there: {url}/samples/") == 2
    assert not any("/in/" in asked for asked in store.asked("GET"))  # nothing is fetched to find that out

    code, _, err = run_miso(*there, "--knn", 4)
    assert code == 2
    assert err.count("was made with other settings (options.knn is 3, now 4)") == 2


def test_a_slide_that_the_store_does_not_have_fails_alone(store, run_miso, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(f"path\ns3://{BUCKET}/nowhere\n")
    words = ("process-cohort", "t.csv", "--out", f"s3://{BUCKET}/none", "--cache", tmp_path / "cache", *SMALL)
    code, _, err = run_miso(*words)
    assert code == 2
    assert err.startswith(f"nowhere: FAILED s3://{BUCKET}/nowhere cannot be read: there is no such object")
    assert published(f"s3://{BUCKET}/none/nowhere") is None
