"""`miso process-cohort` from outside: a table of sections, some of them bad, at paths and at URLs."""

import csv
import json
import shutil
from dataclasses import replace

import pytest

from miso.phantom import PhantomSpec, write_phantom
from miso.phantom.layouts.catalog import LAYOUTS
from miso.samples import open_cohort, open_sample

OPTIONS = ["--encoder", "stain", "--tile-size", "64", "--knn", "3", "--device", "cpu"]


def write_table(file, rows):
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture(scope="module")
def vendor(tmp_path_factory):
    """Three Space Ranger folders, A1, B1 and C1; look, but do not write."""
    spec = PhantomSpec(seed=5, n_patients=3, n_sections=1, size_um=700, n_visible=4, n_null=1)
    return write_phantom(
        replace(spec, array=LAYOUTS["space-ranger-2"].array), tmp_path_factory.mktemp("v"), "space-ranger-2"
    )


@pytest.fixture
def sections(vendor, tmp_path):
    """Their table; the counts of B1 are cut off."""
    folder = tmp_path / "in"
    shutil.copytree(vendor, folder)
    counts = next((folder / "B1").rglob("filtered*.h5"))
    counts.write_bytes(counts.read_bytes()[:1000])
    rows = [
        {"path": name, "slide": f"images/{name}.jpg", "patient": "P1" if name != "C1" else "P2"}
        for name in ("A1", "B1", "C1")
    ]
    return write_table(folder / "sections.csv", rows)


def test_a_bad_section_fails_alone_and_only_it_is_done_again(miso, vendor, sections, tmp_path):
    out = tmp_path / "out"
    code, lines = miso("process-cohort", sections, "--out", out, *OPTIONS)
    assert code == 3
    assert list(open_cohort(out).samples) == ["A1", "C1"]
    assert open_cohort(out).patients == {"A1": "P1", "C1": "P2"}
    report = json.loads((out / "run_report.json").read_text())
    assert (report["done"], report["skipped"], report["failed"]) == (2, 0, 1)
    assert f"process-cohort {out / 'failed.csv'} --out {out} --encoder stain" in report["again"]
    assert report["again"] in lines[-2]

    shutil.copytree(vendor / "B1", sections.parent / "B1", dirs_exist_ok=True)
    written = (out / "A1" / "sample.json").stat().st_mtime_ns
    code, lines = miso(*report["again"].split()[1:])
    assert code == 0
    assert lines[0].startswith("B1: ")
    assert list(open_cohort(out).samples) == ["A1", "B1", "C1"]
    assert (out / "A1" / "sample.json").stat().st_mtime_ns == written
    assert not (out / "failed.csv").exists()
    code, lines = miso("process-cohort", sections, "--out", out, *OPTIONS)
    assert (code, [line.split()[1:3] for line in lines[:3]]) == (0, [["already", "there:"]] * 3)


def test_two_at_a_time_make_the_same_as_one_after_another(miso, sections, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    miso("process-cohort", sections, "--out", one, "--samples", "A1,C1", *OPTIONS)
    miso("process-cohort", sections, "--out", two, "--samples", "A1,C1", "--workers", 2, *OPTIONS)
    for name in ("A1", "C1"):
        first, second = open_sample(one / name), open_sample(two / name)
        assert (first.patch_features[:] == second.patch_features[:]).all()
        assert first.manifest["settings"] == second.manifest["settings"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, "no table at {table}; it is a CSV with the columns path, slide, name"),
        ("", "{table} has no rows"),
        ("path,slyde\na,b\n", "{table}: unknown column 'slyde'; did you mean 'slide'?"),
        ("path,slide\na\n", "{table} line 2 has another number of cells than the header"),
        ("path,slide\n,b\n", "{table} line 2: there is no path"),
        ("path,slide_mpp\na,half\n", "{table} line 2: slide_mpp is 'half', which is no number"),
        ("path\nx/a\ny/a\n", "{table} line 3: two rows are named 'a'; give each its own name"),
        ("path,name\na,../b\n", "{table} line 2: '../b' cannot be the name of a file"),
    ],
    ids=str,
)
def test_a_table_that_cannot_be_meant_is_one_line(miso, tmp_path, table, said):
    file = tmp_path / "t.csv"
    if table is not None:
        file.write_text(table)
    code, lines = miso("process-cohort", file, "--out", tmp_path / "out", *OPTIONS)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"miso: {said.format(table=file)}")
    assert not (tmp_path / "out").exists()


def test_a_section_that_is_not_there_is_named(miso, tmp_path):
    table = write_table(tmp_path / "t.csv", [{"path": "nowhere"}])
    code, lines = miso("process-cohort", table, "--out", tmp_path / "out", *OPTIONS)
    assert code == 2
    assert lines[0].startswith("nowhere: FAILED")
    assert str(tmp_path / "nowhere") in lines[0]
