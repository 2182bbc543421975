"""`miso train` from outside: configurations by name, overrides, and one clear line for what is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def settings(processed: Path, tmp_path: Path) -> list[str]:
    """The quickest run of the tiny cohort."""
    return [
        f"cohort.path={processed}",
        "cohort.genes=null",
        "splits=leave_one_sample_out",
        "max_epochs=1",
        "baselines=false",
        "device=cpu",
        f"run_dir={tmp_path / 'run'}",
    ]


def test_a_run_is_trained_and_its_table_printed(run_miso: Run, settings: list[str], tmp_path: Path) -> None:
    code, out, err = run_miso("train", "--config-name", "train_her2st", *settings, "preset=published")
    assert code == 0
    assert "raw" in out
    assert len([line for line in out.splitlines() if "miso" in line.split()]) == 1
    assert all(section in out for section in ("A1", "B1", "C1"))
    assert err.count("miso r = ") == 3
    assert str(tmp_path / "run") in err
    assert (tmp_path / "run" / "summary.json").is_file()


def test_the_same_command_again_trains_nothing(run_miso: Run, settings: list[str], tmp_path: Path) -> None:
    assert run_miso("train", *settings)[0] == 0
    weights = sorted(tmp_path.rglob("model.safetensors"))
    before = [path.stat().st_mtime_ns for path in weights]
    code, out, err = run_miso("train", *settings)
    assert code == 0
    assert err.count("already there") == 3
    assert "miso" in out
    assert [path.stat().st_mtime_ns for path in weights] == before
    assert len(before) == 3


def test_other_settings_for_a_folder_that_is_taken_say_what_differs(
    run_miso: Run, settings: list[str]
) -> None:
    assert run_miso("train", *settings)[0] == 0
    code, _, err = run_miso("train", *settings, "seed=3", "knn=4")
    assert code == 2
    assert "seed is 0, now 3" in err
    assert "knn is 37, now 4" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("spelling", ["--config-name", "--config_name"])
@pytest.mark.parametrize("name", ["train_10x", "train_10x.yaml"])
def test_a_configuration_is_named_with_or_without_yaml_and_in_both_spellings(
    spelling: str, name: str, run_miso: Run, settings: list[str], tmp_path: Path
) -> None:
    assert run_miso("train", spelling, name, *settings)[0] == 0
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["settings"]
    assert (kept["target"], kept["cohort"]["missing"]) == ("log1p_cp10k", "drop")


def test_a_folder_of_ones_own_configurations_is_read(
    run_miso: Run, settings: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    lines = [f"{key}: {value}" for key, _, value in (s.partition("=") for s in settings[2:])]
    (tmp_path / "mine" / "quick.yaml").write_text(
        "\n".join(["cohort:", "  path: ???", "target: log1p", *lines])
    )
    where = ["train", "--config-dir", tmp_path / "mine", "--config-name", "quick"]
    code, _, err = run_miso(*where)
    assert code == 2
    assert "cohort.path is not set; pass cohort.path=" in err
    assert run_miso(*where, settings[0])[0] == 0
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["settings"]
    assert (kept["target"], kept["max_epochs"]) == ("log1p", 1)


WRONG: dict[str, tuple[list[str], str]] = {
    "unknown key": (["max_epoch=3"], "unknown setting 'max_epoch'; did you mean 'max_epochs'"),
    "unknown inner key": (["cohort.gene=x.txt"], "did you mean 'cohort.genes'"),
    "no value": (["seed"], "key=value, but got 'seed'"),
    "no number": (["seed=many"], "'many'"),
    "unknown preset": (["preset=publishd"], "did you mean 'published'"),
    "unknown target": (["target=log1p_cp10"], "did you mean 'log1p_cp10k'"),
    "no such folds": (["splits=folds.json"], "no splits at 'folds.json'"),
    "no such genes": (["cohort.genes=panel.txt"], "no gene list at 'panel.txt'"),
    "no such folder": (["cohort.path=nowhere"], "no folder at nowhere"),
    "no such sample": (["cohort.only=[A1,Z9]"], "no sample 'Z9'"),
    "unknown device": (["device=gpu"], "unknown device 'gpu'"),
    "cohort that is no mapping": (
        ["cohort=her2st"],
        "cohort holds settings of its own (cohort.…), not 'her2st'",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_setting_ends_in_one_line_and_nothing_written(
    what: str, run_miso: Run, settings: list[str], tmp_path: Path
) -> None:
    words, message = WRONG[what]
    code, _, err = run_miso("train", *settings, *words)
    assert code == 2
    assert message in err
    assert err.startswith("miso: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_cohort_has_to_be_named(run_miso: Run) -> None:
    code, _, err = run_miso("train", "--config-name", "train_her2st", "seed=1")
    assert (code, err) == (2, "miso: cohort.path is not set; pass cohort.path=…\n")


def test_a_configuration_that_is_not_there_is_named(run_miso: Run, tmp_path: Path) -> None:
    code, _, err = run_miso("train", "--config-name", "train_her3st", "seed=1")
    assert code == 2
    assert "train_her3st" in err
    code, _, err = run_miso("train", "--config-dir", tmp_path / "nowhere", "seed=1")
    assert code == 2
    assert "no folder at" in err


def test_a_configuration_of_ones_own_that_is_no_yaml_is_named(run_miso: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("cohort: {path: ???}\n")
    code, _, err = run_miso("train", "--config-dir", tmp_path, "--config-name", "broken", "seed=1")
    assert code == 2
    assert "broken.yaml" in err
    assert "line 1" in err
    assert err.count("\n") == 1


def test_a_student_without_labels_says_what_makes_them(
    run_miso: Run, processed: Path, tmp_path: Path
) -> None:
    words = [f"cohort.path={processed}", "labels=never", f"run_dir={tmp_path / 'run'}", "device=cpu"]
    code, _, err = run_miso("train", "--config-name", "distil", *words)
    assert code == 2
    assert "no label set 'never'" in err
    assert "miso generate-distillation-labels" in err
    assert not (tmp_path / "run").exists()


def test_training_for_use_says_that_nothing_was_held_out(
    run_miso: Run, settings: list[str], tmp_path: Path
) -> None:
    splits = tmp_path / "all.json"
    splits.write_text('{"unit": "patient", "folds": [{"train": ["A", "B"], "val": ["C"], "test": []}]}')
    code, _, err = run_miso("train", *settings, f"splits={splits}")
    assert code == 0
    assert "nothing was held out" in err
