"""The device to compute on, by the name a user gives."""

import torch

from miso.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:1` or `mps` into a device that is there; `auto` is CUDA or the CPU.

    Raises
    ------
    ConfigError
        If the machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.partition(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in there:
        raise ConfigError(f"unknown device {name!r}; use auto, cpu, cuda or mps")
    if not there[kind]:
        raise ConfigError(f"no {kind} device on this machine; use device=auto or cpu")
    return torch.device(name)
