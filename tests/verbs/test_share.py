"""Importing the original's checkpoints and sharing models, from the command line."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import miso
from miso.models import load_checkpoint

Run = Callable[..., tuple[int, str, str]]
GENES = ["ERBB2", "KRT8"]


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """A student of the original's, for h0-mini, and its genes."""
    widths, state = (768, 5, 4, 2), {}
    for i, (before, after) in enumerate(itertools.pairwise(widths)):
        state[f"mlp.hidden_layers.{2 * i}.weight"] = torch.rand(after, before)
        state[f"mlp.hidden_layers.{2 * i}.bias"] = torch.rand(after)
    torch.save({"state_dict": state}, tmp_path / "student.pth")
    (tmp_path / "genes.txt").write_text("\n".join(GENES))
    return tmp_path / "student.pth"


@pytest.fixture
def do_import(student: Path, tmp_path: Path, run_miso: Run) -> Run:
    def run(*words: object) -> tuple[int, str, str]:
        return run_miso(
            "import-checkpoint", student, "--genes", tmp_path / "genes.txt", "--out", tmp_path / "m", *words
        )

    return run


def test_a_student_of_the_original_is_imported_and_used(do_import: Run, tmp_path: Path) -> None:
    code, _, said = do_import("--encoder", "h0-mini")
    assert code == 0
    assert "a student of 2 genes on h0-mini (768 numbers), counts per spot" in said
    predictor = miso.load(tmp_path / "m")
    assert predictor.predict_patches(np.ones((1, 4, 768), np.float32)).shape == (1, 4, 2)
    assert set(predictor.reliability["grade"]) == {"untested"}
    made = load_checkpoint(tmp_path / "m")
    assert (made.patch_px, made.tile, made.knn) == (14, {"size_px": 224, "mpp": 0.5}, 37)
    assert made.notes["imported_from"] == "student.pth"
    assert "**untested**" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")


def test_importing_again_is_left_alone_and_other_settings_are_refused(do_import: Run, tmp_path: Path) -> None:
    assert do_import("--encoder", "h0-mini")[0] == 0
    before = (tmp_path / "m" / "config.json").stat().st_mtime_ns
    code, _, said = do_import("--encoder", "h0-mini")
    assert (code, "already there" in said) == (0, True)
    assert (tmp_path / "m" / "config.json").stat().st_mtime_ns == before
    code, _, said = do_import("--encoder", "h0-mini", "--knn", 9)
    assert code == 2
    assert "holds something else" in said


def test_options_say_what_the_file_does_not(do_import: Run, tmp_path: Path) -> None:
    words = ("--tile-size", 448, "--mpp", 0.25, "--knn", 19, "--target", "log1p", "--spot_diameter_um", 100)
    assert do_import("--encoder", "h0-mini@abc", *words)[0] == 0
    made = load_checkpoint(tmp_path / "m")
    assert (made.tile, made.knn, made.spot_diameter_um) == ({"size_px": 448, "mpp": 0.25}, 19, 100)
    assert (made.target, made.units, made.encoder) == ("log1p", "ln(1 + counts)", "h0-mini@abc")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--encoder", "uni2-h"), "patch features of 768 numbers, but those of uni2-h have 1536"),
        (("--encoder", "stain"), "but those of stain@1 have"),
        (("--encoder", "stain@7"), "has the revision 1, not 7"),
        (("--encoder", "h0-mni"), "did you mean 'h0-mini'"),
        (("--encoder", "hf:owner/model@abc"), "pass --patch-px"),
        (("--encoder", "h0-mini", "--patch-px", 15), "15 px do not divide a tile of 224 px"),
        (("--encoder", "h0-mini", "--knn", 0), "--knn is 0, expected a number above 0"),
        (("--encoder", "h0-mini", "--mpp", "nan"), "--mpp is nan"),
        (("--encoder", "h0-mini", "--target", "rw"), "unknown target 'rw'; did you mean 'raw'"),
        (("--encoder", "h0-mini", "--genes", "her2st_panel"), "predicts 2 genes, but the gene list has 785"),
        (("--encoder", "h0-mini", "--genes", "nowhere.txt"), "no gene list at 'nowhere.txt'"),
    ],
)
def test_what_does_not_fit_ends_in_one_line(
    words: tuple[object, ...], expected: str, do_import: Run, tmp_path: Path
) -> None:
    code, _, said = do_import(*words)
    assert code == 2
    assert expected in said
    assert said.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_an_encoder_that_is_not_here_is_taken_at_its_word_with_a_revision(
    do_import: Run, tmp_path: Path
) -> None:
    assert do_import("--encoder", "hf:owner/model@abc", "--patch-px", 16)[0] == 0
    assert load_checkpoint(tmp_path / "m").encoder == "hf:owner/model@abc"


def test_a_model_is_shared_inspected_and_loaded(do_import: Run, run_miso: Run, tmp_path: Path) -> None:
    do_import("--encoder", "h0-mini")
    load_checkpoint(tmp_path / "m").save(tmp_path / "plain")
    code, _, said = run_miso(
        "share", tmp_path / "plain", "--out", tmp_path / "b", "--license", "mit", "--name", "X"
    )
    assert code == 0
    assert "read its README.md" in said
    assert "unstated" not in said
    assert miso.load(tmp_path / "b").genes == tuple(GENES)
    code, shown, _ = run_miso("inspect", tmp_path / "b", "--json")
    facts = json.loads(shown)
    assert (facts["name"], facts["licence"], facts["genes"]) == ("X", "mit", "2; by grade: 2 untested")
    code, _, said = run_miso("share", tmp_path / "plain", "--out", tmp_path / "c")
    assert "its licence is unstated" in said


@pytest.mark.parametrize("words", [(), ("--out", "x", "--to", "hf:a/b")])
def test_sharing_goes_to_one_place(words: tuple[str, ...], run_miso: Run, tmp_path: Path) -> None:
    code, _, said = run_miso("share", tmp_path, *words)
    assert (code, "either --out FOLDER or --to hf:owner/model" in said) == (2, True)
    code, _, said = run_miso("share", tmp_path, "--to", "hf:alone")
    assert (code, "names no model" in said) == (2, True)
