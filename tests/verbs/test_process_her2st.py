"""`miso process-her2st` from outside: what it writes, and one clear line where it cannot."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from miso.encoders.stain import StainModule
from miso.samples import extract, open_cohort
from miso.verbs import _process, _process_report

OPTIONS = ["--encoder", "stain", "--tile-size", "64", "--knn", "3", "--device", "cpu"]


@pytest.fixture
def folder(phantom, tmp_path):
    """A copy of the phantom to write into."""
    shutil.copytree(phantom, tmp_path / "her2st")
    return tmp_path / "her2st"


@pytest.fixture
def _real_pictures():
    """Ask for this to have the alignment drawn, which takes a second or more a section."""


@pytest.fixture(autouse=True)
def _quick_pictures(request, monkeypatch):
    if "_real_pictures" not in request.fixturenames:
        monkeypatch.setattr(_process, "_draw_alignment", lambda path, spots, slide: path.write_bytes(b"png"))


def everything(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_every_section_becomes_a_sample_and_nothing_else_changes(folder, miso):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, lines = miso("process-her2st", "--path-dataset", folder, *OPTIONS)
    assert code == 0
    assert [line[:3] for line in lines[:3]] == ["A1:", "B1:", "C1:"]
    assert lines[3] == f"3 done, 0 skipped, 0 failed ({folder / 'processed_data' / 'run_report.json'})"
    assert lines[-1] == f"look at her2st: {folder / 'processed_data' / 'report.html'}"
    assert re.search(
        r"A1: HER2ST .*; \d+ spots, 10 genes, 0\.5\d* µm/px \(lattice .*\); 2 of \d+ selected spots have no ",
        lines[0],
    )
    after = everything(folder) - {str(path.relative_to(folder)) for path in before} - {"images", "images/HE"}
    assert all(
        name.startswith("processed_data") for name in after - {"count-matrices", "spot-selections", "truth"}
    )
    assert {path: path.read_bytes() for path in before} == before
    assert not any("partial" in name for name in after)
    cohort = open_cohort(folder / "processed_data")
    assert list(cohort.samples) == ["A1", "B1", "C1"]


@pytest.mark.usefixtures("_real_pictures")
def test_the_alignment_is_drawn_for_the_eye(folder, miso):
    assert miso("process-her2st", "--path-dataset", folder, "--samples", "A1", *OPTIONS)[0] == 0
    with Image.open(folder / "processed_data" / "A1" / "alignment.png") as picture:
        assert min(picture.size) > 300
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50


def test_the_second_time_it_says_that_all_is_there(folder, miso):
    miso("process-her2st", "--path-dataset", folder, "--samples", "A1,B1", *OPTIONS)
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, lines = miso("process-her2st", "--path-dataset", folder, "--samples", "A1, B1", *OPTIONS)
    assert code == 0
    assert all("already there" in line for line in lines)
    assert len(lines) == 2
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == written


def test_the_page_is_written_again_when_a_section_was_added(folder, miso):
    page = folder / "processed_data" / "report.html"
    miso("process-her2st", "--path-dataset", folder, "--samples", "A1", *OPTIONS)
    assert 'id="section-1"' not in page.read_text()
    assert "not processed" in page.read_text()
    miso("process-her2st", "--path-dataset", folder, *OPTIONS)
    assert 'id="section-2"' in page.read_text()
    assert "not processed" not in page.read_text()


def test_a_file_of_the_users_own_is_not_written_over_by_the_page(folder, miso):
    page = folder / "processed_data" / "report.html"
    page.parent.mkdir()
    page.write_text("mine")
    code, lines = miso("process-her2st", "--path-dataset", folder, "--samples", "A1", *OPTIONS)
    assert code == 0
    assert page.read_text() == "mine"
    assert "no page of her2st was written" in lines[-1]


@pytest.mark.parametrize("dashes", [True, False], ids=["dashes", "underscores"])
def test_options_are_taken_with_dashes_and_with_underscores(folder, miso, dashes):
    options = ["--path-dataset", str(folder), "--samples", "B1", "--encoder", "stain", "--tile-size", "64"]
    if not dashes:
        options = [
            word.replace("-", "_").replace("__", "--") if word.startswith("--") else word for word in options
        ]
        assert "--path_dataset" in options
    code, _ = miso("process-her2st", *options)
    assert code == 0
    assert everything(folder / "processed_data") >= {
        "B1/sample.json",
        "B1/adata.h5ad",
        "B1/patch_features.npy",
    }


def test_one_bad_section_of_three_is_reported_and_the_others_are_done(folder, miso):
    truncate(folder / "images" / "HE" / "B1.jpg")
    code, lines = miso("process-her2st", "--path-dataset", folder, *OPTIONS)
    assert code == 3
    assert "B1: FAILED 'B1.jpg' is truncated or damaged" in lines[1]
    assert "1 of 3 sections failed" in lines[-2]
    again = f"process-her2st --path-dataset {folder} --samples B1 --encoder stain --device cpu --knn 3"
    assert lines[-2].endswith(f"{again} --tile-size 64")
    out = folder / "processed_data"
    assert {path.name for path in out.iterdir()} == {"A1", "C1", "run_report.json", "report.html"}
    page = (out / "report.html").read_text()
    assert "&#39;B1.jpg&#39; is truncated or damaged" in page
    report = json.loads((out / "run_report.json").read_text())
    assert (report["done"], report["skipped"], report["failed"]) == (2, 0, 1)
    assert report["again"] in lines[-2]
    assert [(unit["unit"], unit["state"]) for unit in report["units"]] == [
        ("A1", "done"),
        ("B1", "failed"),
        ("C1", "done"),
    ]
    assert "truncated" in report["units"][1]["message"]


@pytest.mark.parametrize("damage", ["image", "counts", "selection"])
def test_damage_in_the_only_section_asked_for_is_one_line_and_nothing_is_written(folder, miso, damage):
    named = {
        "image": "images/HE/B1.jpg",
        "counts": "count-matrices/B1.tsv.gz",
        "selection": "spot-selections/B1_selection.tsv.gz",
    }
    truncate(folder / named[damage])
    before = everything(folder)
    code, lines = miso("process-her2st", "--path-dataset", folder, "--samples", "B1", *OPTIONS)
    assert code == 2
    assert len(lines) == 1
    assert "B1: FAILED" in lines[0]
    assert "truncated or damaged" in lines[0]
    assert everything(folder) == before


def test_when_every_section_fails_there_is_no_report_but_a_summary(folder, miso):
    for path in (folder / "count-matrices").iterdir():
        path.write_bytes(b"")
    before = everything(folder)
    code, lines = miso("process-her2st", "--path-dataset", folder, *OPTIONS)
    assert code == 2
    assert lines[-1] == "nothing could be done: 3 of 3 sections failed"
    assert everything(folder) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--encoder", "stian"], "miso: unknown encoder 'stian'; did you mean 'stain'?"),
        (["--encoder", "stain:big"], "miso: the encoder 'stain' takes no argument, but got 'big'"),
        (["--encoder", "stain", "--samples", "A1,B11"], "miso: unknown section 'B11'; did you mean 'B1'?"),
        (["--encoder", "stain", "--samples", "zz"], "miso: unknown section 'zz'; known: A1, B1, C1"),
        (
            ["--encoder", "stain", "--tile-size", "200"],
            "miso: --tile-size 200: patches of 16 px do not divide a tile of 200 px",
        ),
        (
            ["--encoder", "stain", "--tile-size", "0"],
            "miso: --knn and --tile-size must be at least 1, not 37 and 0",
        ),
        (
            ["--encoder", "stain", "--knn", "0"],
            "miso: --knn and --tile-size must be at least 1, not 0 and 224",
        ),
        (["--encoder", "stain", "--mpp", "0"], "miso: --mpp 0: tiles are read at 0.05 to 20 µm/px"),
        (["--encoder", "stain", "--mpp", "nan"], "miso: --mpp nan: tiles are read at 0.05 to 20 µm/px"),
        (["--encoder", "stain", "--mpp", "5000"], "miso: --mpp 5000: tiles are read at 0.05 to 20 µm/px"),
        (["--encoder", "stain", "--device", "gpu"], "miso: unknown device 'gpu'; use auto, cpu, cuda or mps"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_one_line_and_nothing_is_written(folder, miso, options, said):
    before = everything(folder)
    code, lines = miso("process-her2st", "--path-dataset", folder, *options)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(said)
    assert everything(folder) == before


def test_a_level_that_the_image_lacks_is_one_line(folder, miso):
    code, lines = miso(
        "process-her2st", "--path-dataset", folder, "--samples", "A1", "--level", "3", *OPTIONS
    )
    assert code == 2
    assert len(lines) == 1
    assert "'A1.jpg' has levels 0 to 0, not 3" in lines[0]
    assert not (folder / "processed_data").exists()


def test_a_level_is_read_at_its_own_resolution(folder, miso):
    code, _ = miso("process-her2st", "--path-dataset", folder, "--samples", "A1", "--level", "0", *OPTIONS)
    assert code == 0
    sample = open_cohort(folder / "processed_data").samples["A1"]
    assert sample.grid.tile.mpp == sample.mpp != 0.5


def test_a_missing_and_an_empty_folder_are_one_line(tmp_path, miso):
    (tmp_path / "empty").mkdir()
    for path, said in (
        ("absent", "miso: no folder at"),
        ("empty", "is no HER2ST folder: it has no count-matrices"),
    ):
        code, lines = miso("process-her2st", "--path-dataset", tmp_path / path, *OPTIONS)
        assert code == 2
        assert len(lines) == 1
        assert said in lines[0]
    assert everything(tmp_path) == {"empty"}


def test_samples_of_other_settings_are_refused_with_what_differs(folder, miso):
    miso("process-her2st", "--path-dataset", folder, "--samples", "A1", *OPTIONS)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, lines = miso("process-her2st", "--path-dataset", folder, "--samples", "A1", *OPTIONS, "--knn", "5")
    assert code == 2
    assert len(lines) == 1
    assert "was made with other settings: knn is 3, now 5" in lines[0]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "no permission for /data/out: Permission denied"),
        (errno.ENOSPC, "the disk is full (/data/out)"),
        (errno.EDQUOT, "the disk quota is used up (/data/out)"),
    ],
)
def test_what_the_disk_refuses_is_one_line(folder, miso, monkeypatch, number, said):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), "/data/out")

    monkeypatch.setattr(_process, "process_section", refuse)
    code, lines = miso("process-her2st", "--path-dataset", folder, *OPTIONS)
    assert code == 2
    assert lines[0].startswith(f"A1: FAILED {said} (")


def test_an_interrupt_says_that_the_same_command_goes_on(folder, miso, monkeypatch):
    def interrupted(self, rgb):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StainModule, "forward", interrupted)
        code, lines = miso("process-her2st", "--path-dataset", folder, "--samples", "A1", *OPTIONS)
    assert code == 130
    assert lines == ["miso: interrupted; the same command goes on from where it was"]
    assert miso("process-her2st", "--path-dataset", folder, "--samples", "A1", *OPTIONS)[0] == 0


def test_an_unknown_option_is_named(miso, tmp_path):
    code, lines = miso("process-her2st", "--path-dataset", tmp_path, "--tilesize", "3")
    assert code == 2
    assert "--tilesize" in " ".join(lines)


def test_help_comes_without_torch_and_the_other_heavy_ones():
    program = (
        "import sys; from miso.cli import app; "
        "app(['--help'], standalone_mode=False); "
        "heavy = {'torch', 'pandas', 'anndata', 'scipy', 'sklearn', 'matplotlib', 'zarr', 'hydra'}; "
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "process-her2st" in done.stdout
    assert "loaded: []" in done.stdout


def test_a_run_that_is_killed_outright_leaves_no_sample_and_the_next_ends_the_same(folder, miso, monkeypatch):
    """SIGKILL after two shards, as the scheduler of a cluster does it."""
    program = (
        "import os, signal; import miso.samples.extract as e; e.SHARD = e.BATCH = 4\n"
        "put = e.ShardStore.put\n"
        "def put_and_die(self, start, *rest):\n"
        "    put(self, start, *rest)\n"
        "    if start == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "e.ShardStore.put = put_and_die\n"
        "from miso.cli import main; main()"
    )
    words = ["process-her2st", "--path-dataset", str(folder), "--samples", "A1", *OPTIONS]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    out = folder / "processed_data"
    assert {path.name for path in out.iterdir()} == {".A1.lock", ".A1.partial"}
    monkeypatch.setattr(extract, "SHARD", 4)
    monkeypatch.setattr(extract, "BATCH", 4)
    assert miso(*words)[0] == 0
    assert {path.name for path in out.iterdir()} == {"A1", "report.html"}
    resumed = open_cohort(out).samples["A1"].adata.obsm["tile_features"]
    shutil.rmtree(out)
    assert miso(*words)[0] == 0
    np.testing.assert_array_equal(open_cohort(out).samples["A1"].adata.obsm["tile_features"], resumed)


def test_a_cohort_too_large_for_a_page_has_none_and_says_so(folder, miso, monkeypatch):
    monkeypatch.setattr(_process_report, "MOST_SECTIONS", 2)
    code, lines = miso("process-her2st", "--path-dataset", folder, *OPTIONS)
    assert code == 0
    out = folder / "processed_data"
    assert lines[-1] == f"3 Samples are too many for one page; miso inspect {out} lists them"
    assert not (out / "report.html").exists()
