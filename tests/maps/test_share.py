"""A run that was shared predicts as before, knows its cohort still, and gives nobody's name away."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import miso
from miso.errors import CheckpointError
from miso.maps import load
from miso.maps.share import share, share_on_hub
from miso.models import Checkpoint, MisoConfig, MisoModel
from miso.models.attention import NetworkConfig
from miso.models.residuals import Residuals

DIM, GENES = 6, ["ERBB2", "KRT8"]
FOLDS = {"A1": "B1", "B1": "C1", "C1": "A1"}


def checkpoint(held_out: str, val: str) -> Checkpoint:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ord(held_out[0]))
        network = NetworkConfig(embed_dim=8, attention_dim=8, heads=2)
        model = MisoModel(DIM, 2, MisoConfig(network=network, members=1, linear=False))
    predicted = np.random.default_rng(ord(held_out[0])).uniform(0, 3, (120, 2)).astype(np.float32)
    return Checkpoint(
        model=model.eval(),
        residuals=Residuals.of_section(held_out, predicted, np.ceil(predicted)),
        kind="miso",
        genes=GENES,
        target="raw",
        units="counts per spot",
        nonnegative=True,
        encoder="hf:/home/jane/uni@sha256:12",
        tile={"size_px": 224, "mpp": 0.5},
        patch_px=16,
        knn=5,
        spot_diameter_um=100.0,
        trained_on=[name for name in FOLDS if name not in (held_out, val)],
        validated_on=[val],
        held_out=[held_out],
        slides={
            name: {"fingerprint": name * 8, "patient": f"Jane {name}", "mpp": 0.5, "source": "tag"}
            for name in FOLDS
        },
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of three folds, with scores."""
    at = tmp_path / "runs" / "breast"
    rows = []
    for fold, (test, val) in enumerate(FOLDS.items()):
        checkpoint(test, val).save(at / f"repeat_0_fold_{fold}" / "checkpoint")
        rows += [
            (0, fold, test, "miso", gene, "raw", "pearson", r)
            for gene, r in zip(GENES, (0.6, 0.2), strict=True)
        ]
    table = pd.DataFrame(
        rows, columns=["repeat", "fold", "sample", "model", "gene", "target", "metric", "value"]
    )
    table.to_parquet(at / "metrics.parquet")
    table[table["fold"] == 0].to_parquet(at / "repeat_0_fold_0" / "metrics.parquet")
    (at / "config.yaml").write_text("settings: {}")
    (at / "summary.json").write_text(json.dumps({"miso": {"pearson": 0.4}, "stain+ridge": {"pearson": 0.45}}))
    (at / "splits.json").write_text(json.dumps({"unit": "sample", "held_apart": "patient", "folds": []}))
    return at


def predict(path: Path) -> np.ndarray:
    features = np.random.default_rng(3).random((9, DIM)).astype(np.float32)
    return load(path).predict_features(features, np.arange(9)[:, None] * np.ones(5, dtype=int) % 9)


def test_a_shared_run_predicts_what_the_run_predicts(run: Path, tmp_path: Path) -> None:
    assert share(run, tmp_path / "b", licence="cc-by-4.0")
    np.testing.assert_array_equal(predict(tmp_path / "b"), predict(run))
    found = load(tmp_path / "b")
    assert len(found.checkpoints) == 3
    assert list(found.reliability["grade"]) == list(load(run).reliability["grade"]) == ["A", "C"]
    assert not share(run, tmp_path / "b", licence="cc-by-4.0")


def test_a_fold_and_a_checkpoint_are_shared_as_one_folder(run: Path, tmp_path: Path) -> None:
    for number, part in enumerate((run / "repeat_0_fold_0", run / "repeat_0_fold_0" / "checkpoint")):
        assert share(part, tmp_path / str(number))
        np.testing.assert_array_equal(predict(tmp_path / str(number)), predict(part))
        assert list(load(tmp_path / str(number)).reliability["sections"]) == [1, 1]
        assert list(load(part).reliability["grade"]) == ["C", "C"]


def test_a_bundle_still_does_not_speak_of_what_it_was_trained_on(run: Path, tmp_path: Path) -> None:
    share(run / "repeat_0_fold_0", tmp_path / "b", hide_names=True)
    found = load(tmp_path / "b")
    assert found.for_slide("A1" * 8).checkpoints == found.checkpoints
    with pytest.raises(CheckpointError, match="has seen this section"):
        found.for_slide("B1" * 8)


def test_a_bundle_carries_intervals_and_leaves_a_patients_own_out(run: Path, tmp_path: Path) -> None:
    share(run, tmp_path / "b", hide_names=True)
    shared, own = load(tmp_path / "b"), load(run)
    assert shared.calibration is not None
    assert own.calibration is not None
    assert shared.calibration.to_json() == own.calibration.to_json()
    assert shared.residuals is not None
    assert shared.residuals.sections == ("section-1", "section-2", "section-3")
    of_a1 = shared.for_slide("A1" * 8).residuals
    assert of_a1 is not None
    assert of_a1.sections == ("section-2", "section-3")


@pytest.mark.parametrize("hide_names", [False, True])
def test_no_patient_and_no_folder_of_the_sharers_is_in_a_bundle(
    hide_names: bool, run: Path, tmp_path: Path
) -> None:
    share(run, tmp_path / "b", hide_names=hide_names)
    for file in (path for path in (tmp_path / "b").rglob("*") if path.is_file()):
        content = file.read_bytes()
        for secret in (
            b"Jane",
            b"/home",
            str(tmp_path).encode(),
            *([b'"A1"', b'"A1\\"'] if hide_names else []),
        ):
            assert secret not in content, (file, secret)
    first = load(tmp_path / "b").first
    assert first.encoder == "hf:uni@sha256:12"
    assert first.trained_on == (["section-3"] if hide_names else ["C1"])
    assert {slide["patient"] for slide in first.slides.values()} == {"1", "2", "3"}


def test_the_card_counts_sections_and_patients_and_says_what_was_held_apart(
    run: Path, tmp_path: Path
) -> None:
    share(run, tmp_path / "b", name="Breast", data="Three sections")
    text = (tmp_path / "b" / "README.md").read_text(encoding="utf-8")
    for said in (
        "# Breast",
        "3 sections of 3 patients",
        "Whole patients were held out",
        "| ERBB2 | 0.600 | 3 |",
        "| stain+ridge | 0.450 |\n| miso | 0.400 |",
    ):
        assert said in text
    share(run, tmp_path / "c")
    assert "# breast" in (tmp_path / "c" / "README.md").read_text(encoding="utf-8")


def test_without_known_patients_there_is_no_number_of_them(run: Path, tmp_path: Path) -> None:
    made = checkpoint("A1", "B1")
    slides = {name: {"fingerprint": slide["fingerprint"]} for name, slide in made.slides.items()}
    replace(made, slides=slides).save(tmp_path / "old")
    share(tmp_path / "old", tmp_path / "b")
    text = (tmp_path / "b" / "README.md").read_text(encoding="utf-8")
    assert "3 sections of an unknown number of patients" in text
    assert "How sections were held out is not known" in text
    assert "**untested**" in text


def test_what_cannot_be_shared_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run or checkpoint"):
        share(tmp_path / "nowhere", tmp_path / "b")
    share(run, tmp_path / "b")
    with pytest.raises(CheckpointError, match="is a bundle already"):
        share(tmp_path / "b", tmp_path / "c")
    with pytest.raises(CheckpointError, match="names no model"):
        share_on_hub(run, "hf:alone")
    (run / "summary.json").unlink()
    with pytest.raises(CheckpointError, match="not finished"):
        share(run, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_run_is_pushed_as_the_bundle_it_makes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[dict[str, object]] = []

    def keep(folder: Path, repo: str, **options: object) -> str:
        pushed.append({"models": len(load(folder).checkpoints), "repo": repo, **options})
        return "c0ffee"

    monkeypatch.setattr("miso.maps.share.push_to_hub", keep)
    assert share_on_hub(run, "hf:lab/breast", licence="mit") == "hf:lab/breast@c0ffee"
    share(run, tmp_path / "b")
    share_on_hub(tmp_path / "b", "lab/breast", private=False)
    same = {"models": 3, "token": None, "endpoint": None}
    assert pushed == [
        {**same, "repo": "hf:lab/breast", "private": True},
        {**same, "repo": "lab/breast", "private": False},
    ]


def test_the_package_offers_it(run: Path, tmp_path: Path) -> None:
    miso.share(run, tmp_path / "b")
    assert callable(miso.push_to_hub)
    assert callable(miso.from_pretrained)
    load_again: Callable[[Path], miso.Predictor] = miso.load
    assert load_again(tmp_path / "b").genes == tuple(GENES)
