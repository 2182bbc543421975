"""A run that is killed inside a fold goes on there, and ends with the bits of one that was left alone."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import pytest
import yaml
from safetensors.torch import load_file

from miso.training import TrainConfig, network_gain, train
from miso.training.distill import generate_labels
from miso.training.run import open_training_cohort

T = TypeVar("T")
Configure = Callable[..., TrainConfig]
SIGKILLED = """
import os, signal, sys
from dataclasses import replace
import yaml
import miso.training.run
from miso.training import CohortConfig, TrainConfig, network_gain, train

decide = network_gain._decide
miso.training.run.EVERY_S = network_gain.CHANCE = network_gain.ERRORS = 0.0
network_gain._decide = lambda *proofs: replace(decide(*proofs), epochs=3)
settings = yaml.safe_load(sys.stdin)
config = TrainConfig(**{**settings, "cohort": CohortConfig(**settings["cohort"])})

def track(items, total, description):
    for number, item in enumerate(items):
        if (description, number) == ("training", 1):
            os.kill(os.getpid(), signal.SIGKILL)
        yield item

train(config, track=track)
"""


class Killed(Exception):
    """What ends a process, as far as the run can tell."""


def killed_in(phase: str, epoch: int) -> Callable[[Iterable[T], int, str], Iterator[T]]:
    def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if (description, number) == (phase, epoch):
                raise Killed
            yield item

    return track


def folder(config: TrainConfig) -> Path:
    return Path(config.run_dir or "")


def checkpoint(config: TrainConfig) -> Path:
    return folder(config) / "repeat_0_fold_0" / "checkpoint" / "model.safetensors"


def weights(config: TrainConfig) -> bytes:
    return checkpoint(config).read_bytes()


def snapshots(config: TrainConfig) -> list[str]:
    return sorted(path.name for path in (folder(config) / "repeat_0_fold_0" / "snapshots").glob("*"))


@pytest.fixture
def at_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a snapshot be written after each epoch."""
    monkeypatch.setattr("miso.training.run.EVERY_S", 0.0)


@pytest.fixture(autouse=True)
def all_networks_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train networks for three epochs after so little of a proof that the tiny cohort can give it."""
    decide = network_gain._decide
    monkeypatch.setattr(network_gain, "CHANCE", 0.0)
    monkeypatch.setattr(network_gain, "ERRORS", 0.0)
    monkeypatch.setattr(network_gain, "_decide", lambda *proofs: replace(decide(*proofs), epochs=3))


PROVING = [f"proving {number} of 3" for number in (1, 2, 3)]


@pytest.mark.usefixtures("at_every_epoch")
@pytest.mark.parametrize("phase", [*PROVING, "training"])
def test_the_default_goes_on_in_the_phase_it_was_cut_off_in(
    phase: str, configure: Configure, tmp_path: Path
) -> None:
    whole, config = configure(max_epochs=4, run_dir=str(tmp_path / "whole")), configure(max_epochs=4)
    train(whole)
    assert load_file(checkpoint(whole))["gain"].any()
    with pytest.raises(Killed):
        train(config, track=killed_in(phase, 1))
    phases = [*PROVING, "training"]
    begun = phases[: phases.index(phase) + 1]
    assert snapshots(config) == sorted(f"{name}.safetensors" for name in begun)
    told: list[str] = []
    train(config, told.append)
    ended = [f"{name} goes on after epoch 4" for name in begun[:-1]]
    assert told[: len(begun)] == [*ended, f"{phase} goes on after epoch 1"]
    assert not any("goes on" in line for line in told[len(begun) :])
    assert weights(config) == weights(whole)
    assert not (folder(config) / "repeat_0_fold_0" / "snapshots").exists()


@pytest.mark.usefixtures("at_every_epoch")
def test_a_run_that_was_sigkilled_goes_on_to_the_same_bits(configure: Configure, tmp_path: Path) -> None:
    whole, config = configure(max_epochs=3, run_dir=str(tmp_path / "whole")), configure(max_epochs=3)
    train(whole)
    ended = subprocess.run(
        [sys.executable, "-c", SIGKILLED],
        input=yaml.safe_dump(asdict(config)),
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == -signal.SIGKILL
    assert snapshots(config) == [f"{name}.safetensors" for name in [*PROVING, "training"]]
    told: list[str] = []
    train(config, told.append)
    assert "training goes on after epoch 1" in told
    assert weights(config) == weights(whole)


@pytest.mark.usefixtures("at_every_epoch")
def test_a_student_goes_on_too(configure: Configure, samples: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(samples, tmp_path / "copied")
    teachers = configure(copied, run_dir=str(tmp_path / "teachers"))
    train(teachers)
    generate_labels(teachers, open_training_cohort(teachers))

    def student(name: str) -> TrainConfig:
        keys = {"model": "patch", "splits": None, "max_epochs": 3, "run_dir": str(tmp_path / name)}
        return configure(copied, **keys)

    whole, config = student("whole"), student("cut")
    train(whole)
    with pytest.raises(Killed):
        train(config, track=killed_in("distilling", 2))
    told: list[str] = []
    train(config, told.append)
    assert told[0] == "distilling goes on after epoch 2"
    assert weights(config) == weights(whole)


def test_a_short_run_writes_no_snapshot(configure: Configure) -> None:
    config = configure()
    with pytest.raises(Killed):
        train(config, track=killed_in(PROVING[0], 1))
    assert snapshots(config) == []


@pytest.mark.usefixtures("at_every_epoch")
def test_a_snapshot_of_another_version_is_left_aside(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, config = configure(run_dir=str(tmp_path / "whole")), configure()
    train(whole)
    with monkeypatch.context() as before:
        before.setattr("miso.training.run.version", lambda name: "0.0.0")
        with pytest.raises(Killed):
            train(config, track=killed_in(PROVING[0], 1))
    told: list[str] = []
    train(config, told.append)
    assert "belongs to other settings (miso_version is 0.0.0, now" in told[0]
    assert weights(config) == weights(whole)


@pytest.mark.usefixtures("at_every_epoch")
def test_snapshots_that_outlived_their_fold_are_removed(configure: Configure) -> None:
    config = configure()
    train(config)
    left = folder(config) / "repeat_0_fold_0" / "snapshots"
    left.mkdir()
    (left / "training.safetensors").write_bytes(b"")
    train(config)
    assert not left.exists()
