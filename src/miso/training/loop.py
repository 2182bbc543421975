"""The training loop of teachers and students: epochs over shuffled items, read top to bottom."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import torch
from torch import Generator, Tensor, nn

from miso.errors import MisoError
from miso.launch.progress import Track, silent
from miso.training.history import History
from miso.training.snapshot import Best, Parts, Snapshots, copy_weights
from miso.training.team import ALONE, Team

T = TypeVar("T")
Precision = Literal["auto", "float32", "bfloat16"]
Judge = Callable[[], tuple[float, list[float]]]
"""Scores a model on what is left out, the more the better, and tells further numbers of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a model is trained.

    Attributes
    ----------
    epochs
        Most epochs.
    patience
        Epochs without a better validation score after which no more are tried; None tries all.
    accumulate
        Items whose mean loss makes a step, for each process of the team.
    precision
        What matrices are multiplied in while training; weights and their steps are float32 always.
    seed
        Of the order of items, and of dropout.
    """

    lr: float
    weight_decay: float
    epochs: int
    seed: int
    patience: int | None = None
    accumulate: int = 1
    precision: Precision = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What a training runs on: who shares it, where snapshots and history lie, who is shown how far it is."""

    team: Team = ALONE
    snapshots: Snapshots | None = None
    history: History | None = None
    track: Track = silent


HERE = Host()
"""This process alone; nothing is kept or shown."""


def train_epochs(
    model: nn.Module,
    plan: Plan,
    shuffled: Callable[[Generator], Sequence[T]],
    loss_of: Callable[[T], Tensor],
    *,
    phase: str,
    judge: Judge | None = None,
    before: Best | None = None,
    keep_weights: bool = True,
    host: Host = HERE,
) -> Best:
    """Train a model, in place; it is in evaluation mode between epochs and afterwards.

    Parameters
    ----------
    shuffled
        Returns the items of an epoch in the order that a generator draws.
    loss_of
        The loss of one item.
    phase
        Names the training, for progress and snapshots.
    judge
        Scores each epoch; without it every epoch counts as better than the last.
    before
        What an epoch has to be better than.
    keep_weights
        Whether the best epoch's weights are kept.

    Returns
    -------
    The best epoch. The model is left as the last epoch made it.
    """
    team, device = host.team, next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.lr, weight_decay=plan.weight_decay)
    order = Generator().manual_seed(plan.seed)
    parts = Parts(model=model, optimizer=optimizer, order=order, team=team)
    best, done, written = before or Best(), 0, time.monotonic()
    team.start_alike(model)
    with _random_numbers(plan.seed, team, device):
        found = host.snapshots.read(phase) if host.snapshots else None
        if found:
            best, done = found.best, found.epoch
            parts.restore(found)
        if team.as_lead([done]) != [done]:
            raise MisoError("a process does not see the lead's snapshots; put run_dir where all of them do")
        for epoch in host.track(range(done + 1, plan.epochs + 1), plan.epochs - done, phase):
            if judge and plan.patience and epoch - 1 - best.epoch >= plan.patience:
                break
            model.train()
            items, at_once = shuffled(order), plan.accumulate * team.size
            total = torch.zeros(1, device=device)
            for start in range(0, len(items), at_once):
                step = items[start : start + at_once]
                optimizer.zero_grad()
                for item in team.share(step):
                    with _autocast(plan.precision, device):
                        loss = loss_of(item) / len(step)
                    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                    total += loss.detach() * len(step)
                team.add_gradients(model)
                optimizer.step()
            model.eval()
            verdict = _verdict(judge, team)
            best = _better(best, epoch, model, verdict, keep_weights)
            mean_loss = float(team.gather(total.cpu()).sum()) / max(len(items), 1)
            if host.history and team.leads:
                host.history.add(phase, epoch, mean_loss, verdict[0] if verdict else None)
            if host.snapshots and _due(host.snapshots, written, team):
                moment = parts.moment(epoch, best)
                if team.leads:
                    host.snapshots.write(phase, moment)
                written = time.monotonic()
    return best


def computes_in_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether matrices are multiplied in bfloat16: if asked for, or by `auto` on a CUDA device that can."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"


def _autocast(precision: Precision, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_in_bfloat16(precision, device))


@contextmanager
def _random_numbers(seed: int, team: Team, device: torch.device) -> Iterator[None]:
    """Let dropout draw from the seed, each process of a team its own numbers; outside nothing changes."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed + 1_000_003 * team.rank)
        yield


def _verdict(judge: Judge | None, team: Team) -> list[float]:
    """Judge an epoch: the score, and further numbers; all processes go by what the lead finds."""
    if judge is None:
        return []
    score, numbers = judge()
    return team.as_lead([score, *numbers])


def _better(best: Best, epoch: int, model: nn.Module, verdict: list[float], keep_weights: bool) -> Best:
    if not verdict:
        return Best(epoch=epoch)
    score, *numbers = verdict
    told = [*best.told, numbers]
    if not score > best.score:
        return replace(best, told=told)
    return Best(score=score, epoch=epoch, told=told, weights=copy_weights(model) if keep_weights else None)


def _due(snapshots: Snapshots, written: float, team: Team) -> bool:
    """Whether it is time for a snapshot, by the lead's clock."""
    return bool(team.as_lead([time.monotonic() - written >= snapshots.every_s])[0])
