"""A run folder: what is in it, that it is resumed bitwise, and that no test section gets into a model."""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from miso.errors import CheckpointError, CohortError, ConfigError, MisoError, SplitError
from miso.models import load_checkpoint
from miso.samples import open_sample
from miso.scores.metrics import metrics as registered
from miso.training import TrainConfig, train
from miso.training.folder import RunFolder

Configure = Callable[..., TrainConfig]
TWO_FOLDS = [
    {"train": ["A1", "B1"], "val": ["C1"], "test": ["D1"]},
    {"train": ["D1", "B1"], "val": ["A1"], "test": ["C1"]},
]


def checkpoint(config: TrainConfig, fold: int = 0) -> Path:
    return Path(config.run_dir or "") / f"repeat_0_fold_{fold}" / "checkpoint"


def table(config: TrainConfig) -> pd.DataFrame:
    return pd.read_parquet(Path(config.run_dir or "") / "metrics.parquet")


@pytest.fixture(scope="module")
def run(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two folds with baselines; look, but do not write."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "splits.json").write_text(json.dumps({"unit": "sample", "folds": TWO_FOLDS}))
    config = TrainConfig(
        splits=str(folder / "splits.json"), max_epochs=6, device="cpu", run_dir=str(folder / "run")
    )
    config.cohort.path = str(samples)
    told: list[str] = []
    summary = train(config, told.append)
    assert summary == json.loads((folder / "run" / "summary.json").read_text())
    assert len(told) == 2
    return folder / "run"


def test_a_run_folder_holds_what_the_contract_names(run: Path) -> None:
    there = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    promised = {"config.yaml", "splits.json", "metrics.parquet", "summary.json", "run.log"}
    promised |= {"predictions/D1.h5ad", "predictions/C1.h5ad"}
    for fold in (0, 1):
        at = f"repeat_0_fold_{fold}"
        promised |= {
            f"{at}/checkpoint/{name}" for name in ("model.safetensors", "config.json", "trust.safetensors")
        }
        promised |= {f"{at}/metrics.parquet", f"{at}/history.csv"}
    assert there == promised


def test_metrics_are_tidy_and_only_of_test_sections(run: Path) -> None:
    metrics = pd.read_parquet(run / "metrics.parquet")
    assert {"repeat", "fold", "sample", "gene", "target", "metric", "value"} <= set(metrics)
    assert set(zip(metrics["fold"], metrics["sample"], strict=True)) == {(0, "D1"), (1, "C1")}
    keys = ["repeat", "fold", "sample", "model", "gene", "metric"]
    assert not metrics.duplicated(keys).any()
    assert len(metrics) == 2 * 8 * 8 * len(list(registered))  # folds, models, genes, metrics
    assert set(metrics["target"]) == {"raw"}


def test_the_default_learns_and_stands_beside_its_floor_and_its_oracle(run: Path) -> None:
    metrics = pd.read_parquet(run / "metrics.parquet")
    r = metrics[(metrics["metric"] == "pearson") & metrics["gene"].str.startswith("SEEN")]
    mean = r.groupby("model")["value"].mean()
    assert mean["miso"] > 0.75
    assert mean["miso"] >= mean["ridge+neighbours"] - 0.01
    assert abs(mean["permutation"]) < 0.25
    assert {"stain+ridge", "pca+ridge", "coordinates", "total-count"} <= set(mean.index)


def test_predictions_are_those_that_the_metrics_score(run: Path, samples: Path) -> None:
    found = anndata.read_h5ad(run / "predictions" / "D1.h5ad")
    sample = open_sample(samples / "D1")
    assert list(found.obs_names) == list(sample.adata.obs_names)
    np.testing.assert_array_equal(found.obsm["spatial"], sample.adata.obsm["spatial"])
    assert found.uns["miso"]["units"] == "counts per spot"
    assert found.X.min() >= 0
    metrics = pd.read_parquet(run / "metrics.parquet")
    of = metrics[
        (metrics["sample"] == "D1") & (metrics["model"] == "miso") & (metrics["metric"] == "pearson")
    ]
    measured = sample.adata[:, found.var_names].X.toarray()
    for gene, value in zip(of["gene"], of["value"], strict=True):
        column = found.var_names.get_loc(gene)
        assert np.corrcoef(found.X[:, column], measured[:, column])[0, 1] == pytest.approx(value, abs=1e-5)


def test_a_checkpoint_says_who_was_seen_and_what_validation_chose(run: Path, samples: Path) -> None:
    found = load_checkpoint(run / "repeat_0_fold_1" / "checkpoint")
    assert (found.trained_on, found.validated_on, found.held_out) == (["D1", "B1"], ["A1"], ["C1"])
    assert found.encoder == "stain@1"
    assert found.tile == {"size_px": 64, "mpp": 0.5}
    assert set(found.notes) >= {"programs", "surroundings", "epoch", "programs_of_networks"}
    assert set(found.slides) == {"A1", "B1", "C1", "D1"}


def test_the_log_has_a_dated_line_for_each_fold(run: Path) -> None:
    lines = (run / "run.log").read_text().splitlines()
    assert len(lines) == 2
    for fold, line in enumerate(lines):
        assert re.match(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\S* repeat 0, fold {fold} .*miso r = 0\.", line)


def test_a_run_keeps_its_settings_and_its_folds(run: Path) -> None:
    settings = yaml.safe_load((run / "config.yaml").read_text())["settings"]
    assert (settings["target"], settings["preset"], settings["seed"], settings["max_epochs"]) == (
        "raw",
        "default",
        0,
        6,
    )
    assert json.loads((run / "splits.json").read_text())["folds"] == TWO_FOLDS


def test_a_lost_fold_alone_is_trained_again_and_bitwise_the_same(configure: Configure) -> None:
    config = configure(folds=TWO_FOLDS)
    before_summary, before = train(config), table(config)
    weights = [(checkpoint(config, fold) / "model.safetensors").read_bytes() for fold in (0, 1)]
    kept = (checkpoint(config, 0) / "model.safetensors").stat().st_mtime_ns
    (checkpoint(config, 1).parent / "metrics.parquet").unlink()
    told: list[str] = []
    assert train(config, told.append) == before_summary
    assert [line.partition(":")[2].strip()[:7] for line in told] == ["already", "miso r "]
    assert (checkpoint(config, 0) / "model.safetensors").stat().st_mtime_ns == kept
    assert [(checkpoint(config, fold) / "model.safetensors").read_bytes() for fold in (0, 1)] == weights
    pd.testing.assert_frame_equal(table(config), before, check_exact=True)


def test_a_run_cut_off_in_its_second_fold_goes_on_with_that_fold(configure: Configure) -> None:
    config = configure(folds=TWO_FOLDS)

    def interrupt(line: str) -> None:
        if "fold 0" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, interrupt)
    assert RunFolder(path=Path(config.run_dir or "")).is_done(0, 0)
    told: list[str] = []
    train(config, told.append)
    assert "already there" in told[0]
    assert set(table(config)["fold"]) == {0, 1}


def test_other_settings_in_the_same_folder_are_refused_with_what_differs(configure: Configure) -> None:
    config = configure()
    train(config)
    weights = (checkpoint(config) / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="seed is 0, now 7"):
        train(replace(config, seed=7))
    with pytest.raises(ConfigError, match="target is raw, now log1p"):
        train(replace(config, target="log1p"))
    assert (checkpoint(config) / "model.safetensors").read_bytes() == weights


def test_other_folds_under_the_same_name_are_refused(configure: Configure) -> None:
    train(configure())
    other = configure(folds=[{"train": ["A1", "B1"], "val": ["D1"], "test": ["C1"]}])
    with pytest.raises(ConfigError, match=r"folds\.0\.test is \['D1'\], now \['C1'\]"):
        train(other)


def test_samples_processed_anew_are_other_inputs(configure: Configure, samples: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(samples, copied)
    config = configure(copied)
    train(config)
    manifest = copied / "A1" / "sample.json"
    about = json.loads(manifest.read_text())
    about["settings"]["inputs"]["A1.png"] = "another"
    manifest.write_text(json.dumps(about))
    with pytest.raises(ConfigError, match=r"samples\.A1\.inputs\.A1\.png"):
        train(config)


def test_a_folder_with_other_things_is_no_run_folder(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.docx").write_text("mine")
    with pytest.raises(ConfigError, match="no run folder"):
        train(configure())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.docx"]


def test_a_run_killed_while_it_began_begins_again(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "splits.json").write_text("{}")
    (tmp_path / "run" / ".config.partial-1.yaml").write_text("sett")
    assert train(configure())["miso"]["of"] == 8


def test_a_damaged_configuration_is_named(configure: Configure, tmp_path: Path) -> None:
    train(configure())
    (tmp_path / "run" / "config.yaml").write_text("settings: [")
    with pytest.raises(CheckpointError, match=r"config\.yaml is damaged"):
        train(configure())


BAD: dict[str, tuple[dict[str, object], type[MisoError], str]] = {
    "preset": ({"preset": "publishd"}, ConfigError, "did you mean 'published'"),
    "model": ({"model": "misso"}, ConfigError, "model is 'miso' or 'patch'"),
    "device": ({"device": "tpu"}, ConfigError, "unknown device 'tpu'"),
    "knn": ({"knn": 0}, ConfigError, "knn must be at least 1"),
    "repeats": ({"n_repeats": 0}, ConfigError, "n_repeats must be at least 1"),
    "epochs": ({"max_epochs": -1}, ConfigError, "max_epochs must be at least 0"),
    "patience": ({"patience": 0}, ConfigError, "patience must be at least 1"),
    "accumulate": ({"accumulate": 0}, ConfigError, "accumulate must be at least 1"),
    "precision": ({"precision": "bfloat61"}, ConfigError, "did you mean 'bfloat16'"),
    "target": ({"target": "log1"}, CohortError, "did you mean 'log1p'"),
    "splits": ({"splits": None}, ConfigError, "splits is not set"),
    "split file": ({"splits": "nowhere.json"}, SplitError, "no splits at"),
    "run_dir": ({"run_dir": None}, ConfigError, "run_dir is not set"),
}


@pytest.mark.parametrize("what", BAD)
def test_an_impossible_setting_is_refused_before_anything_is_written(
    what: str, configure: Configure, tmp_path: Path
) -> None:
    keys, error, words = BAD[what]
    with pytest.raises(error, match=words):
        train(configure(**keys))
    assert not (tmp_path / "run").exists()


def test_counts_of_a_test_section_reach_no_weight_no_choice_and_no_prediction(
    configure: Configure, write_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    one = configure(run_dir=str(tmp_path / "one"), max_epochs=3)
    two = configure(write_cohort("D1"), run_dir=str(tmp_path / "two"), max_epochs=3)
    train(one)
    train(two)
    assert not table(one)["value"].equals(table(two)["value"])  # the test counts are indeed others
    first, second = (checkpoint(config) / "model.safetensors" for config in (one, two))
    assert first.read_bytes() == second.read_bytes()
    assert load_checkpoint(checkpoint(one)).notes == load_checkpoint(checkpoint(two)).notes
    predictions = [
        anndata.read_h5ad(tmp_path / name / "predictions" / "D1.h5ad").X for name in ("one", "two")
    ]
    np.testing.assert_array_equal(*predictions)


def test_counts_of_a_training_section_do_reach_the_weights(
    configure: Configure, write_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    one, two = configure(), configure(write_cohort("A1"), run_dir=str(tmp_path / "two"))
    train(one)
    train(two)
    first, second = (load_file(checkpoint(config) / "model.safetensors") for config in (one, two))
    assert not torch.equal(first["linear_weight"], second["linear_weight"])


def test_a_fold_without_validation_chooses_by_leaving_training_sections_out(configure: Configure) -> None:
    config = configure(folds=[{"train": ["A1", "B1"], "val": [], "test": ["C1"]}], baselines=True)
    phases: list[str] = []

    def track(items: Iterable[int], total: int, description: str) -> Iterator[int]:
        phases.append(description)
        yield from items

    summary = train(config, track=track)
    assert {"proving 1 of 2", "proving 2 of 2"} <= set(phases)
    assert load_checkpoint(checkpoint(config)).notes["programs"] > 0
    assert summary["miso"]["pearson"] > 0.3
    assert set(table(config)["sample"]) == {"C1"}


def test_a_network_alone_is_trained_for_the_usual_number_of_epochs_without_validation(
    configure: Configure,
) -> None:
    train(config := configure(folds=[{"train": ["A1"], "val": [], "test": ["C1"]}], preset="published"))
    notes = load_checkpoint(checkpoint(config)).notes
    assert (notes["epoch"], notes["validation_r"]) == (2, None)


def test_a_fold_without_test_samples_trains_for_use(configure: Configure, tmp_path: Path) -> None:
    config = configure(folds=[{"train": ["A1", "B1", "C1"], "val": ["D1"], "test": []}], baselines=True)
    told: list[str] = []
    assert train(config, told.append) == {}
    assert "trained for use" in told[0]
    assert len(table(config)) == 0
    assert {"repeat", "fold", "sample", "gene", "target", "metric", "value"} <= set(table(config))
    assert not (tmp_path / "run" / "predictions").exists()
    assert load_checkpoint(checkpoint(config)).held_out == []


def test_repeats_have_seeds_and_predictions_of_their_own(configure: Configure, tmp_path: Path) -> None:
    config = configure(n_repeats=2, seed=4)
    train(config)
    weights = [
        load_file(tmp_path / "run" / f"repeat_{repeat}_fold_0" / "checkpoint" / "model.safetensors")
        for repeat in (0, 1)
    ]
    assert not torch.equal(weights[0]["networks.0.embed.weight"], weights[1]["networks.0.embed.weight"])
    assert set(table(config)["repeat"]) == {0, 1}
    assert (tmp_path / "run" / "predictions" / "repeat_1" / "D1.h5ad").is_file()
    fifth = configure(seed=5, run_dir=str(tmp_path / "fifth"))
    train(fifth)
    alone = load_file(checkpoint(fifth) / "model.safetensors")
    assert all(torch.equal(alone[name], weights[1][name]) for name in alone)


def test_the_published_preset_trains_in_full_size(configure: Configure) -> None:
    config = configure(preset="published", max_epochs=1)
    train(config)
    found = load_checkpoint(checkpoint(config))
    assert found.notes["preset"] == "published"
    assert found.notes["epoch"] == 1
    assert found.model.state_dict()["networks.0.embed.weight"].shape[0] == 2048


def test_another_target_changes_what_is_learnt_and_its_units(configure: Configure) -> None:
    config = configure(target="log1p_cp10k")
    train(config)
    found = load_checkpoint(checkpoint(config))
    assert (found.target, found.units) == ("log1p_cp10k", "ln(1 + counts per 10,000)")
    assert set(table(config)["target"]) == {"log1p_cp10k"}


def test_samples_of_different_panels_train_together(
    configure: Configure, samples: Path, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(samples, mixed)
    file = mixed / "B1" / "adata.h5ad"
    adata = anndata.read_h5ad(file)
    adata[:, [gene != "SEEN0" for gene in adata.var_names]].copy().write_h5ad(file)
    config = configure(mixed, baselines=True)
    train(config)
    assert "SEEN0" not in set(table(config)["gene"])  # by default genes are those that all have
    masked = configure(mixed, baselines=True, run_dir=str(tmp_path / "masked"))
    masked.cohort.missing = "mask"
    train(masked)
    r = table(masked).query("metric == 'pearson' and gene == 'SEEN0'").set_index("model")["value"]
    assert r["miso"] > 0.5
    assert r["stain+ridge"] > 0.5
    assert load_checkpoint(checkpoint(masked)).genes[0] == "SEEN0"


def test_a_loss_by_name_trains_the_published_network_and_no_other(configure: Configure) -> None:
    with pytest.raises(ConfigError, match="needs preset=published"):
        train(configure(loss="pearson"))
    with pytest.raises(ConfigError, match="unknown loss 'pearsn'"):
        train(configure(loss="pearsn", preset="published"))
