"""`miso process-data`, `inspect` and `export` as a user meets them: one Visium section, and ways to err."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest
import torch
from PIL import Image

import miso
from miso.encoders import load_encoder
from miso.phantom import PhantomSpec, write_phantom

Run = Callable[..., tuple[int, str, str]]
SMALL = ("--encoder", "stain", "--tile-size", "64", "--knn", "7", "--device", "cpu")


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One Visium section of 2240 × 2240 px, whose hires picture is smaller than its image."""
    spec = PhantomSpec(seed=5, n_patients=1, n_sections=1, size_um=1120, array="visium", n_folds=0)
    return write_phantom(spec, tmp_path_factory.mktemp("visium"), "space-ranger-1", image_format="pyramid")


@pytest.fixture
def words(vendor: Path, tmp_path: Path) -> tuple[object, ...]:
    slide = next((vendor / "images").glob("A1.tif*"))
    into = ("--path-output-folder", tmp_path / "A1")
    return ("process-data", "--path-visium", vendor / "A1", "--path-slide", slide, *into, *SMALL)


def replaced(words: tuple[object, ...], option: str, value: object) -> tuple[object, ...]:
    at = words.index(option) + 1
    return (*words[:at], value, *words[at + 1 :])


def width_of(picture: Path) -> int:
    with Image.open(picture) as image:
        return image.size[0]


def test_one_command_makes_a_sample_and_another_keeps_it(run_miso: Run, words, tmp_path: Path) -> None:
    code, _, told = run_miso(*words, "--patient", "P1")
    assert code == 0, told
    assert "lattice pitch of 100 µm" in told
    sample = miso.open_sample(tmp_path / "A1")
    assert (sample.name, sample.patient) == ("A1", "P1")
    assert sample.adata.var["gene_id"].str.startswith("ENSG").all()
    assert {"total_counts", "pct_counts_mt", "tissue_share", "sharpness", "reason"} <= set(sample.adata.obs)
    assert width_of(tmp_path / "A1" / "alignment.png") > 500
    page = tmp_path / "A1" / "report.html"
    assert "lattice pitch of 100 µm" in page.read_text()
    assert not list(tmp_path.glob("*.html"))  # it stays in the folder that was asked for
    assert "already there" in run_miso(*words, "--patient", "P1")[2]
    code, out, _ = run_miso("inspect", tmp_path / "A1", "--json")
    assert code == 0
    assert json.loads(out)["encoder"] == "stain@1"


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        ("A1/outs/spatial/tissue_hires_image.png", "is the hires picture, not the full-resolution image of"),
        ("A1/outs/spatial/tissue_lowres_image.png", "is the lowres picture"),
    ],
)
def test_a_small_picture_is_refused_by_name(run_miso: Run, words, vendor: Path, picture, said) -> None:
    code, _, told = run_miso(*replaced(words, "--path-slide", vendor / picture))
    assert code == 2
    assert said in told


def test_another_slide_is_refused(run_miso: Run, words, tmp_path: Path) -> None:
    Image.new("RGB", (2240, 2240), (245, 245, 245)).save(tmp_path / "blank.png")
    code, _, told = run_miso(*replaced(words, "--path-slide", tmp_path / "blank.png"))
    assert code == 2
    assert "of the area under the" in told
    assert not (tmp_path / "A1").exists()


def test_without_an_image_it_says_which_one(run_miso: Run, vendor: Path, tmp_path: Path) -> None:
    code, _, told = run_miso(
        "process-data", "--path-visium", vendor / "A1", "--path-output-folder", tmp_path / "A1", *SMALL
    )
    assert code == 2
    assert "the image of 2240 × 2240 px" in told


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--off-image", "ignore"), "--off-image is error or drop"),
        (("--duplicate-genes", "first"), "--duplicate-genes is sum or unique"),
        (("--precision", "int4"), "--precision is auto or fp32 or bf16 or int8"),
        (("--precision", "int8"), "computes in fp32 only"),
        (("--stain-norm", "vahadane"), "--stain-norm is none or macenko or reinhard"),
        (("--slide-mpp", "250"), "is no microscope resolution"),
        (("--level", "9"), "has levels 0 to"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(run_miso: Run, words, wrong, said) -> None:
    code, _, told = run_miso(*words, *wrong)
    assert code == 2
    assert said in told
    assert len(told.strip().splitlines()) == 1


def test_a_level_reads_the_tiles_of_the_original_miso(run_miso: Run, words, tmp_path: Path) -> None:
    """Corner: the centre's whole pixel, less half a tile rounded; pixels: what openslide gives there."""
    assert run_miso(*words, "--level", "1")[0] == 0
    sample = miso.open_sample(tmp_path / "A1")
    slide = openslide.OpenSlide(str(words[words.index("--path-slide") + 1]))
    offset = np.round(64 * slide.level_downsamples[1] / 2)
    encoder = load_encoder("stain")
    for row in (0, len(sample.adata) // 2):
        corner = (sample.adata.obsm["spatial"][row].astype(int) - offset).astype(int)
        rgba = np.asarray(slide.read_region(tuple(map(int, corner)), 1, (64, 64)))
        if rgba[..., 3].min() == 255:
            cls = encoder.encode(torch.from_numpy(rgba[None, ..., :3].copy())).cls
            np.testing.assert_allclose(sample.adata.obsm["tile_features"][row], cls[0], rtol=1e-4, atol=1e-5)
    assert sample.grid.tile.mpp == pytest.approx(1.0, rel=0.02)


def test_normalised_samples_train_a_model_that_normalises(run_miso: Run, words, tmp_path: Path) -> None:
    for name, stain in (("A1", "macenko"), ("B1", "macenko"), ("D1", "macenko"), ("C1", "none")):
        there = replaced(words, "--path-output-folder", tmp_path / name)
        assert run_miso(*there, "--stain-norm", stain)[0] == 0
    settings = ("cohort.missing=drop", "knn=7", "max_epochs=1", "device=cpu")
    train = ("train", "--config-name", "train_10x", f"cohort.path={tmp_path}", *settings)
    code, _, told = run_miso(*train, f"run_dir={tmp_path / 'mixed'}")
    assert code == 2
    assert "brought to different stains (macenko and none)" in told
    code, _, told = run_miso(*train, "cohort.only=[A1,B1,D1]", f"run_dir={tmp_path / 'run'}")
    assert code == 0, told
    predictor = miso.load(tmp_path / "run")
    assert predictor.first.stain["method"] == "macenko"
    with pytest.raises(miso.errors.CheckpointError, match="process it as the cohort was"):
        predictor.predict(miso.open_sample(tmp_path / "C1"), in_sample=True)


def test_a_sample_goes_to_the_original_s_files_and_back(run_miso: Run, words, tmp_path: Path) -> None:
    assert run_miso(*words)[0] == 0
    assert run_miso("export", tmp_path / "A1", "--to", "miso-npy", "--out", tmp_path / "npy")[0] == 0
    back = ("process-data", "--path-visium", tmp_path / "npy", "--path-output-folder", tmp_path / "B1")
    code, _, told = run_miso(*back, "--encoder", "h0-mini", "--tile-size", "64")
    assert code == 2  # its patches are those of another encoder
    assert "16" in told
    code, _, told = run_miso("export", tmp_path / "A1", "--to", "csv", "--out", tmp_path / "csv")
    assert (code, "unknown format 'csv'" in told, "miso-npy" in told) == (2, True, True)


def test_a_folder_is_inspected_and_a_slide_s_tiles_are_told(run_miso: Run, vendor: Path, tmp_path) -> None:
    code, out, _ = run_miso("inspect", vendor / "A1", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["kind"].startswith("Space Ranger 1")
    assert facts["needs an image of"] == "2240 × 2240 px"
    slide = next((vendor / "images").glob("A1.tif*"))
    words = ("--mpp", "0.5", "--tiles", tmp_path / "t.csv", "--picture", tmp_path / "t.png")
    code, _, told = run_miso("inspect", slide, *words)
    assert code == 0, told
    assert (tmp_path / "t.csv").read_text().startswith("x,y,on_slide,tissue_share")
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 101
    assert width_of(tmp_path / "t.png") > 300
    assert run_miso("inspect", tmp_path / "nothing")[0] == 2
