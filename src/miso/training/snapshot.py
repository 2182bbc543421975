"""Snapshots of a training that is under way: all that it takes to go on, bitwise, after a kill.

A snapshot is one safetensors file whose header holds JSON: weights, the optimizer's state, the states of
random generators, the epoch, and the best epoch so far.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from miso.launch.provenance import differences
from miso.storage import write_path
from miso.training.team import Team
from miso.untrusted.documents import parse_json

EVERY_S = 60.0
"""Seconds between snapshots, at least: a shorter training writes none."""
State = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The epoch that did best on what was left out.

    Attributes
    ----------
    epoch
        Its number; 0 is before the first.
    told
        What the judge told of every epoch so far, beside its score.
    weights
        The model's, where they are kept.
    """

    score: float = float("-inf")
    epoch: int = 0
    told: list[list[float]] = field(default_factory=list)
    weights: State | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A training between two epochs; `random` holds states of generators by name."""

    epoch: int
    model: State
    optimizer: State
    random: State
    best: Best


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """Where the snapshots of a fold lie, one a phase of its training, and what they have to belong to.

    Attributes
    ----------
    settings
        A snapshot of other settings is left aside, with a line.
    """

    folder: Path
    settings: Mapping[str, Any]
    say: Callable[[str], None] = lambda line: None
    every_s: float = EVERY_S

    def write(self, phase: str, moment: Moment) -> None:
        """Write a snapshot, over the phase's last one."""
        best = moment.best
        facts = {
            "settings": {**self.settings, "phase": phase},
            "epoch": moment.epoch,
            "best": {"score": best.score, "epoch": best.epoch, "told": best.told},
        }
        parts = {"model": moment.model, "optimizer": moment.optimizer, "random": moment.random}
        parts |= {"best": best.weights} if best.weights is not None else {}
        tensors = {
            f"{part}/{name}": t.contiguous() for part, state in parts.items() for name, t in state.items()
        }
        with write_path(self.file(phase)) as temporary:
            save_file(tensors, temporary, {"miso": json.dumps(facts)})

    def read(self, phase: str) -> Moment | None:
        """Read a phase's snapshot; none if there is none that can be used."""
        file = self.file(phase)
        if not file.is_file():
            return None
        try:
            with safe_open(file, "pt") as opened:
                facts = parse_json((opened.metadata() or {})["miso"])
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # no mapping
        except (SafetensorError, KeyError, ValueError):
            self.say(f"{file} is damaged; {phase} begins anew")
            return None
        differing = differences(facts["settings"], {**self.settings, "phase": phase})
        if differing:
            self.say(f"{file} belongs to other settings ({'; '.join(differing[:3])}); {phase} begins anew")
            return None
        self.say(f"{phase} goes on after epoch {facts['epoch']}")
        kept = _part(tensors, "best")
        return Moment(
            epoch=facts["epoch"],
            model=_part(tensors, "model"),
            optimizer=_part(tensors, "optimizer"),
            random=_part(tensors, "random"),
            best=Best(**facts["best"], weights=kept or None),
        )

    def file(self, phase: str) -> Path:
        """File of a phase's snapshot."""
        return self.folder / f"{phase}.safetensors"

    def remove(self) -> None:
        """Remove them all: the fold is done."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)


def _part(tensors: Mapping[str, Tensor], part: str) -> State:
    start = f"{part}/"
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def copy_weights(model: nn.Module) -> State:
    """Copy a model's weights, by name."""
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All of a training that changes from step to step; `order` draws the order of items."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    order: torch.Generator
    team: Team

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def moment(self, epoch: int, best: Best) -> Moment:
        """Take down where the training is; random numbers are those of every process."""
        random = {"order": self.order.get_state(), "cpu": self.team.gather(torch.get_rng_state())}
        if self._device.type == "cuda":
            random["cuda"] = self.team.gather(torch.cuda.get_rng_state(self._device))
        state = self.optimizer.state_dict()["state"]
        return Moment(
            epoch=epoch,
            model=self.model.state_dict(),
            optimizer={f"{weight}/{name}": t for weight, own in state.items() for name, t in own.items()},
            random=random,
            best=best,
        )

    def restore(self, moment: Moment) -> None:
        """Put everything back; rates and decays stay the optimizer's own."""
        self.model.load_state_dict(moment.model)
        state: dict[int, State] = {}
        for key, value in moment.optimizer.items():
            weight, _, name = key.partition("/")
            state.setdefault(int(weight), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.order.set_state(moment.random["order"])
        torch.set_rng_state(moment.random["cpu"][self.team.rank].clone())
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(moment.random["cuda"][self.team.rank].clone(), self._device)
