"""The device to compute on, by the name a user gives."""

import torch

from miso.errors import ConfigError
from miso.training.team import ALONE, Team


def choose_device(name: str, team: Team = ALONE) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:1` or `mps` into a device that is there; `auto` is CUDA or the CPU.

    Of a team, each process gets the CUDA device of its own place on its machine.

    Raises
    ------
    ConfigError
        If the machine has no such device, or fewer than the team's processes.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.partition(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in there:
        raise ConfigError(f"unknown device {name!r}; use auto, cpu, cuda or mps")
    if not there[kind]:
        raise ConfigError(f"no {kind} device on this machine; use device=auto or cpu")
    if team.size > 1 and kind != "cpu":
        return _own_device(name, team)
    return torch.device(name)


def _own_device(name: str, team: Team) -> torch.device:
    if name != "cuda":
        raise ConfigError(
            f"{team.size} processes cannot train on device={name}; use device=auto, cuda or cpu"
        )
    if team.place >= torch.cuda.device_count():
        raise ConfigError(
            f"torchrun started a process for CUDA device {team.place}, but this machine has "
            f"{torch.cuda.device_count()}; pass as many to --nproc-per-node"
        )
    torch.cuda.set_device(team.place)
    return torch.device("cuda", team.place)
