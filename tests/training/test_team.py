"""Processes that train together do what one does alone, one of them speaks, and if one fails all end."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from miso.errors import ConfigError, MisoError
from miso.models.attention import NetworkConfig
from miso.training.device import choose_device
from miso.training.sections import Section
from miso.training.teacher import RECIPES, fit_teacher
from miso.training.team import ALONE, Team, join_team

TINY = NetworkConfig(embed_dim=32, attention_dim=16, heads=4)
RECIPE = replace(
    RECIPES["published"], model=replace(RECIPES["published"].model, network=TINY), max_epochs=3, lr=3e-3
)
FIT = f"""
import sys
from dataclasses import replace
import torch
from safetensors.torch import save_file
from miso.models.attention import NetworkConfig
from miso.samples import open_cohort
from miso.training.loop import Host
from miso.training.sections import load_section
from miso.training.teacher import RECIPES, fit_teacher
from miso.training.team import join_team

published = RECIPES["published"]
model = replace(published.model, network={TINY!r})
recipe = replace(published, model=model, max_epochs=3, lr=3e-3)
cohort = open_cohort(sys.argv[1])
sections = [load_section(s, cohort, 37, torch.device("cpu")) for s in cohort.samples.values()]
with join_team() as team:
    fitted = fit_teacher(sections[:3], sections[3:], recipe, 0, Host(team=team))
    save_file(fitted.model.state_dict(), f"{{sys.argv[2]}}/{{team.rank}}.safetensors")
"""
FAIL = """
import os, sys
import torch
from miso.cli import main
from miso.errors import MisoError
from miso.training.team import join_team
import typer

def command() -> None:
    with join_team() as team:
        for turn in range(4):
            if turn == 2 and team.rank == int(sys.argv[2]):
                if sys.argv[1] == "killed":
                    os.kill(os.getpid(), 9)
                raise {"input": MisoError, "bug": ZeroDivisionError}[sys.argv[1]]("sample 'A1' is damaged")
            team.wait()

import miso.cli
miso.cli.app = command
main()
"""


def start(size: int, script: str, *arguments: object) -> list[tuple[int, str]]:
    """Run a script in so many processes; their exit codes and what they said on stderr."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def test_alone_a_team_changes_nothing() -> None:
    assert join_team().__enter__() == ALONE
    assert ALONE.leads
    assert ALONE.share([1, 2, 3]) == [1, 2, 3]
    assert ALONE.as_lead([0.5, float("-inf")]) == [0.5, float("-inf")]
    assert torch.equal(ALONE.gather(torch.arange(3)), torch.arange(3)[None])
    ALONE.wait()


def test_items_of_a_step_are_dealt_out_in_turn() -> None:
    shares = [Team(rank=rank, size=3).share([1, 2, 3, 4, 5]) for rank in range(3)]
    assert shares == [[1, 4], [2, 5], [3]]
    assert [Team(rank=rank, size=3).share([1]) for rank in range(3)] == [[1], [], []]


def test_two_processes_are_one_that_accumulates_two_items(
    samples: Path, sections: list[Section], tmp_path: Path
) -> None:
    ended = start(2, FIT, samples, tmp_path)
    assert [code for code, _ in ended] == [0, 0], ended
    alone = fit_teacher(sections[:3], sections[3:], replace(RECIPE, accumulate=2), 0).model.state_dict()
    other = fit_teacher(sections[:3], sections[3:], RECIPE, 0).model.state_dict()
    lead, follower = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    for name, weight in alone.items():
        assert torch.equal(lead[name], follower[name])
        torch.testing.assert_close(lead[name], weight, rtol=0, atol=1e-6)
    assert any((lead[name] - other[name]).abs().max() > 1e-3 for name in lead)


@pytest.mark.parametrize("who", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_bad_input_of_one_process_ends_all_and_the_lead_says_it_once(who: int) -> None:
    ended = start(2, FAIL, "input", who)
    assert [code for code, _ in ended] == [2, 2]
    said = {0: "miso: sample 'A1' is damaged", 1: "miso: process 1 of 2: sample 'A1' is damaged"}[who]
    assert ended[0][1].splitlines()[-1] == said
    assert "miso:" not in ended[1][1]


@pytest.mark.slow
def test_a_killed_process_ends_the_others() -> None:
    ended = start(2, FAIL, "killed", 1)
    assert [code for code, _ in ended] == [2, -9]
    assert "miso: one of the 2 processes ended without a word" in ended[0][1]


@pytest.mark.slow
def test_our_own_fault_keeps_its_traceback_and_the_lead_names_it() -> None:
    ended = start(2, FAIL, "bug", 1)
    assert [code for code, _ in ended] == [2, 1]
    assert "process 1 of 2: ZeroDivisionError: sample 'A1' is damaged" in ended[0][1]
    assert "Traceback" in ended[1][1]


def test_processes_that_do_not_find_each_other_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with pytest.raises(MisoError, match="start them with torchrun"), join_team():
        pass


def test_a_team_shares_a_cpu_but_no_device_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Team(rank=1, size=2, place=1)
    assert choose_device("cpu", two) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="cannot train on device=cuda:0"):
        choose_device("cuda:0", two)
    with pytest.raises(ConfigError, match="this machine has 1; pass as many to --nproc-per-node"):
        choose_device("auto", two)


@pytest.mark.slow
def test_torchrun_trains_a_run_that_one_process_would(samples: Path, tmp_path: Path) -> None:
    splits = tmp_path / "splits.json"
    folds = [{"train": ["A1", "B1"], "val": ["C1"], "test": ["D1"]}]
    splits.write_text(json.dumps({"unit": "sample", "folds": folds}))
    keys = [f"cohort.path={samples}", f"splits={splits}", "preset=published", "max_epochs=1", "device=cpu"]
    keys = ["train", "--config-name", "train_10x", "baselines=false", *keys]
    team = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "miso", *keys]
    one = [sys.executable, "-m", "miso", *keys, "accumulate=2", f"run_dir={tmp_path / 'one'}"]
    as_torchrun = {**os.environ, "OMP_NUM_THREADS": "1"}  # other threads add up in another order
    for command in ([*team, f"run_dir={tmp_path / 'two'}"], one):
        ended = subprocess.run(
            command, env=as_torchrun, capture_output=True, text=True, timeout=240, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("held-out Pearson") == 1
    weights = [load_file(next((tmp_path / name).rglob("model.safetensors"))) for name in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-6)
    log = (tmp_path / "two" / "run.log").read_text()
    assert log.count("fold 0") == 1
    assert "2 processes share every step" in log
