"""The road of training over a store that speaks S3: the same models and predictions as from paths."""

import json
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anndata
import numpy as np
import pytest
from safetensors.numpy import load_file

from miso.maps import open_map
from miso.storage.store import fetch, publish, published
from miso.training import CohortConfig, TrainConfig, train
from miso.training.folds import train_teacher_fold

from ..storage.s3 import BUCKET, objects, serve_s3

KEYS = ("knn=3", "max_epochs=1", "device=cpu", "cohort.genes=null")
TRAIN = ("train", "--config-name", "train_her2st", "splits=leave_one_sample_out", "baselines=false", *KEYS)
DISTIL = ("train", "--config-name", "distil", *KEYS)
NAMES = ("A1", "B1", "C1")
URL = f"s3://{BUCKET}/road"
TRAINING = sys.modules["miso.training.train"]  # whose name in the package is the function's


@pytest.fixture(scope="module")
def store():
    with serve_s3() as told:
        yield told


@pytest.fixture(scope="module")
def here(processed, tmp_path_factory):
    """A folder with the Samples, whose cohort.path is given."""
    at = tmp_path_factory.mktemp("here")
    shutil.copytree(processed, at / "samples")
    return at


@pytest.fixture(scope="module")
def cohort(processed, store):
    """The same Samples at a URL, and one that is half written."""
    for name in NAMES:
        publish(processed / name, f"{URL}/samples/{name}", {"name": name})
    objects().pipe_file(f"{BUCKET}/road/samples/D1/sample.json", b"{}")
    return f"cohort.path={URL}/samples"


@pytest.fixture(scope="module")
def at_paths(here, in_process):
    """Teachers and students from paths."""
    path = f"cohort.path={here / 'samples'}"
    assert in_process((*TRAIN, path, f"run_dir={here / 'teachers'}")) == 0
    assert in_process(("generate-distillation-labels", path, f"run_dir={here / 'teachers'}")) == 0
    assert in_process((*DISTIL, path, f"run_dir={here / 'students'}")) == 0
    return here


@pytest.fixture(scope="module")
def at_urls(at_paths, cohort, in_process, tmp_path_factory):
    """The same at URLs; the folder of copies."""
    cache = tmp_path_factory.mktemp("cache")
    keys = (cohort, f"cache={cache}")
    assert in_process((*TRAIN, *keys, f"run_dir={URL}/teachers")) == 0
    assert in_process(("generate-distillation-labels", *keys, f"run_dir={URL}/teachers")) == 0
    assert in_process((*DISTIL, *keys, f"run_dir={URL}/students")) == 0
    return cache


def same_runs(one: Path, other: Path) -> None:
    """Insist on the same files, models, predictions and scores."""
    names = [
        sorted(p.relative_to(run).as_posix() for p in run.rglob("*.*") if p.is_file()) for run in (one, other)
    ]
    assert [n for n in names[0] if not n.endswith(".log")] == [n for n in names[1] if not n.endswith(".log")]
    models = sorted(one.glob("repeat_*/checkpoint/model.safetensors"))
    assert len(models) == 3
    for file in models:
        made, expected = load_file(file), load_file(other / file.relative_to(one))
        assert made.keys() == expected.keys()
        assert all((made[key] == expected[key]).all() for key in made)
    for name in NAMES:
        made, expected = (anndata.read_h5ad(run / "predictions" / f"{name}.h5ad") for run in (one, other))
        assert np.array_equal(made.X, expected.X)
    assert (one / "summary.json").read_text() == (other / "summary.json").read_text()


@pytest.mark.parametrize("run", ["teachers", "students"])
def test_runs_at_urls_are_those_at_paths(at_paths, at_urls, tmp_path, run):
    same_runs(fetch(f"{URL}/{run}", tmp_path), at_paths / run)


def test_what_is_recorded_is_the_url(at_urls, tmp_path):
    config = (fetch(f"{URL}/teachers", tmp_path) / "config.yaml").read_text()
    assert f"path: {URL}/samples" in config
    assert f"run_dir: {URL}/teachers" in config
    label = json.loads(
        (fetch(f"{URL}/samples/.labels/A1/pseudolabels", tmp_path) / "labels.json").read_text()
    )
    assert label["run"] == f"{URL}/teachers"


def test_labels_lie_beside_samples_which_stay_as_they_are(at_urls, store, run_miso, cohort):
    for name in NAMES:
        assert published(f"{URL}/samples/.labels/{name}/pseudolabels")["teachers"] == "fold"
    store.calm()
    words = ("generate-distillation-labels", cohort, f"cache={at_urls}", f"run_dir={URL}/teachers")
    code, _, err = run_miso(*words)
    assert code == 0, err
    assert "D1 is left out: half written" in err
    assert not [path for path in store.asked("PUT") if not path.endswith(".lease")]
    assert not store.asked("GET", "patch_features")


def test_a_finished_run_is_found_and_nothing_is_made_again(at_urls, store, run_miso, cohort):
    store.calm()
    code, _, err = run_miso(*TRAIN, cohort, f"cache={at_urls}", f"run_dir={URL}/teachers")
    assert code == 0, err
    assert err.count("already there") == 3
    assert not store.asked("PUT")
    code, _, err = run_miso(*TRAIN, cohort, "seed=3", f"cache={at_urls}", f"run_dir={URL}/teachers")
    assert code == 2
    assert err.startswith(f"miso: {URL}/teachers was made with other settings (settings.seed is 0, now 3)")


def test_nothing_is_left_in_the_cache_but_copies(at_urls):
    assert not [path for path in (at_urls / "made").rglob("*") if path.is_file()]


def test_maps_of_students_at_a_url_are_those_of_a_path(at_urls, at_paths, phantom, run_miso, tmp_path):
    for run, name in ((f"{URL}/students", "there"), (at_paths / "students", "here")):
        words = ("--slide", phantom / "images" / "HE" / "B1.jpg", "--out", tmp_path / f"{name}.zarr")
        code, _, err = run_miso("super-resolve", run, *words, "--device", "cpu", "--cache", at_urls)
        assert code == 0, err
    there, here = (open_map(tmp_path / f"{name}.zarr") for name in ("there", "here"))
    assert there.genes == here.genes
    assert all(np.array_equal(there[gene], here[gene], equal_nan=True) for gene in here.genes)


def test_predictions_and_scores_of_runs_at_urls(at_urls, at_paths, run_miso, tmp_path):
    cache = ("--cache", at_urls)
    code, _, err = run_miso(
        "predict", f"{URL}/teachers", f"{URL}/samples/B1", "--out", tmp_path / "there", *cache
    )
    assert code == 0, err
    run_miso("predict", at_paths / "teachers", at_paths / "samples" / "B1", "--out", tmp_path / "here")
    there, here = (anndata.read_h5ad(tmp_path / side / "B1.h5ad").X for side in ("there", "here"))
    assert np.array_equal(there, here)
    code, out, err = run_miso("benchmark", f"{URL}/teachers", "--out", tmp_path / "report", *cache)
    assert code == 0, err
    assert "held-out Pearson r" in out


@pytest.mark.parametrize("words", [(), ("workers=2",)], ids=["alone", "workers"])
def test_a_run_goes_on_elsewhere_from_the_folds_that_are_there(
    at_paths, cohort, store, run_miso, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    url, trained = f"{URL}/cut-{len(words)}", []

    def fail_at_the_second(job):
        trained.append(job.index)
        if len(trained) == 2:
            raise OSError(28, "No space left on device", "the disk")
        return train_teacher_fold(job)

    with monkeypatch.context() as patch:
        patch.setattr(TRAINING, "train_teacher_fold", fail_at_the_second)
        code, _, err = run_miso(*TRAIN, cohort, f"cache={tmp_path / 'one'}", f"run_dir={url}")
    assert code == 2
    assert "the disk is full" in err
    assert published(f"{url}/repeat_0_fold_0") is not None
    assert published(url) is None
    for words_of in (
        ("predict", url, at_paths / "samples" / "B1", "--out", "p"),
        ("benchmark", url, "--out", "b"),
    ):
        code, _, err = run_miso(*words_of, "--cache", tmp_path / "one")
        assert code == 2
        assert err.startswith(f"miso: {url} is being written, or was left half written; wait, or run again")
    code, _, err = run_miso(
        "generate-distillation-labels", cohort, f"cache={tmp_path / 'one'}", f"run_dir={url}"
    )
    assert code == 2
    assert err.splitlines()[-1].startswith(f"miso: no finished run at {url}; run the same miso train command")

    store.calm()
    code, _, err = run_miso(*TRAIN, cohort, *words, f"cache={tmp_path / 'two'}", f"run_dir={url}")
    assert code == 0, err
    assert err.count("already there") == 1
    assert not store.asked("PUT", "repeat_0_fold_0")
    assert len(store.asked("PUT", "repeat_0_fold_1/checkpoint/model.safetensors")) == 1
    same_runs(fetch(url, tmp_path / "copy"), at_paths / "teachers")


def test_two_drivers_do_not_train_a_fold_at_once(processed, cohort, tmp_path, monkeypatch):
    begun, go, trained = threading.Event(), threading.Event(), []

    def slowly(job):
        trained.append(job.index)
        if job.index == 0:
            begun.set()
            assert go.wait(60)
        return train_teacher_fold(job)

    def driver(name):
        return TrainConfig(
            cohort=CohortConfig(path=f"{URL}/samples"),
            splits="leave_one_sample_out",
            baselines=False,
            max_epochs=1,
            knn=3,
            device="cpu",
            run_dir=f"{URL}/shared",
            cache=str(tmp_path / name),
        )

    monkeypatch.setattr(TRAINING, "train_teacher_fold", slowly)
    said = []

    def tell(line):
        said.append(line)
        if line.startswith("left for later"):
            go.set()

    with ThreadPoolExecutor() as pool:
        first = pool.submit(train, driver("one"))
        assert begun.wait(60)
        second = train(driver("two"), tell)
    assert first.result() == second
    assert sorted(trained) == [0, 1, 2]
    assert f"left for later: {URL}/shared/repeat_0_fold_0 is being made by" in said[1]


def test_what_another_put_there_is_not_written_over(cohort, run_miso, tmp_path):
    objects().pipe_file(f"{BUCKET}/road/theirs/notes.txt", b"mine")
    code, _, err = run_miso(*TRAIN, cohort, f"cache={tmp_path}", f"run_dir={URL}/theirs")
    assert code == 2
    assert f"miso: {URL}/theirs holds 1 files that MISO did not write" in err


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            (f"cohort.path={URL}/empty",),
            f"no Samples at {URL}/empty (miso process-cohort --out writes them there)",
        ),
        (
            ("cohort.path=s3://no-such-bucket/samples",),
            "s3://no-such-bucket/samples cannot be read: there is no such",
        ),
        (("cohort.only=[A1,D1]",), f"no sample 'D1' at {URL}/samples, half written; there are A1, B1, C1"),
        (("cohort.path=https://a.org/samples",), "https://a.org/samples: a web server does not list"),
        (("run_dir=https://a.org/run",), "https://a.org/run can only be read"),
        (
            (f"splits={URL}/splits.json",),
            f"splits={URL}/splits.json is a URL; only cohort.path and run_dir may",
        ),
    ],
    ids=["empty", "bucket", "half", "web cohort", "web run", "splits"],
)
def test_what_cannot_be_trained_is_one_line(cohort, run_miso, tmp_path, keys, said):
    code, _, err = run_miso(*TRAIN, cohort, f"cache={tmp_path}", f"run_dir={URL}/none", *keys)
    assert code == 2
    assert err.splitlines()[-1].startswith(f"miso: {said}"), err
    assert not objects().exists(f"{BUCKET}/road/none")


@pytest.mark.parametrize(
    "words",
    [
        ("process-data", "--path-visium", "a", "--path-output-folder", "s3://bucket/out"),
        ("view", "s3://bucket/out"),
        ("predict", "run", "sample", "--out", "s3://bucket/out"),
    ],
    ids=lambda words: words[0],
)
def test_a_url_is_not_taken_for_a_path(run_miso, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_miso(*words)
    assert code == 2
    assert err.startswith(f"miso: s3://bucket/out is a URL where miso {words[0]} takes a path; copy it")
    assert "process-cohort" in err
    assert not list(tmp_path.iterdir())
