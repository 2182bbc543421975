"""The processes that train one model together: who leads, how gradients add up, and how all end if one fails.

`torchrun --nproc-per-node N -m miso train …` starts N of them, one a CUDA device, or on CPU cores. Every one
reads the cohort and computes along; the lead alone writes files and shows progress. Numbers and error
messages travel by gloo and torch's key-value store, gradients on CUDA devices by NCCL.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from miso.errors import MisoError

T = TypeVar("T")
AT_MOST = timedelta(hours=6)
"""How long one waits for the others, who may be fitting baselines; one that has ended is noticed at once."""
LAST_WORDS = timedelta(seconds=30)
"""How long a process that failed waits for the lead, who is to say it."""
FAILED, HEARD = "miso/failed", "miso/heard"
USERS_FAULT = 2
ALIKE = 1e-3


class TeamEnded(MisoError):
    """Another process of the team has ended."""


class Store(Protocol):
    """Keys and values that all processes see: what is used here of torch's."""

    def compare_set(self, key: str, expected: str, desired: str, /) -> bytes:
        """Set a key that is not there yet (expected: empty)."""
        ...

    def set(self, key: str, value: str, /) -> None:
        """Set a key."""
        ...

    def get(self, key: str, /) -> bytes:
        """Return a key's value."""
        ...

    def check(self, keys: list[str], /) -> bool:
        """Whether keys are there."""
        ...

    def wait(self, keys: list[str], timeout: timedelta, /) -> None:
        """Wait until keys are there; RuntimeError if they do not come."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """One of `size` processes that train a model together; by default the only one.

    Attributes
    ----------
    rank
        Its number; the lead is 0.
    place
        Its number on its machine.
    store
        Where a process that fails leaves a message.

    Raises
    ------
    MisoError
        Wherever processes meet, if another one has ended.
    """

    rank: int = 0
    size: int = 1
    place: int = 0
    store: Store | None = None

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Items of a step that this process computes; none, if there are fewer than processes."""
        return items[self.rank :: self.size]

    def add_gradients(self, model: nn.Module) -> None:
        """Give every process the sum of all gradients."""
        if self.size == 1:
            return
        weights = list(model.parameters())
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        with self._meeting():  # a process that failed is noticed before NCCL begins, which would hang
            dist.all_reduce(together)
        for weight, gradient in zip(
            weights, torch.split(together, [w.numel() for w in weights]), strict=True
        ):
            weight.grad = gradient.view_as(weight)

    def as_lead(self, numbers: Sequence[float]) -> list[float]:
        """Return the lead's numbers, so that rounding never makes processes choose differently."""
        if self.size == 1:
            return list(numbers)
        told = torch.tensor(numbers, dtype=torch.float64)
        with self._meeting():
            dist.broadcast(told, src=0)
        return [float(number) for number in told]

    def gather(self, values: Shaped[Tensor, " n"]) -> Shaped[Tensor, "process n"]:
        """Return everyone's values (on the CPU, of one length)."""
        if self.size == 1:
            return values[None]
        everyone = [torch.empty_like(values) for _ in range(self.size)]
        with self._meeting():
            dist.all_gather(everyone, values)
        return torch.stack(everyone)

    @torch.no_grad()
    def start_alike(self, model: nn.Module) -> None:
        """Take over the lead's weights, which have to be this process's but for rounding."""
        if self.size == 1:
            return
        for name, own in model.state_dict().items():
            told = own.cpu().clone()
            with self._meeting():
                dist.broadcast(told, src=0)
            apart = (told - own.cpu()).abs().max() if own.numel() else torch.zeros(())
            if bool(apart > ALIKE * told.abs().max().clamp(min=1e-6)):
                raise MisoError(
                    f"process {self.rank} of {self.size} begins with another {name} than the lead; "
                    "use machines of one kind, with the same Samples"
                )
            own.copy_(told)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            with self._meeting():
                pass

    @contextmanager
    def _meeting(self) -> Iterator[None]:
        """Begin with a roll call, so that one that failed can take part in any meeting and say so."""
        failed = torch.zeros(1)
        try:
            dist.all_reduce(failed)
            if bool(failed):
                raise TeamEnded(self._what_happened())
            yield
        except RuntimeError as err:  # a connection was closed, or nobody came for `AT_MOST`
            raise TeamEnded(self._what_happened()) from err

    def _what_happened(self) -> str:
        with suppress(RuntimeError):
            if self.store is not None and self.store.check([FAILED]):
                return str(self.store.get(FAILED).decode())
        return (
            f"one of the {self.size} processes ended without a word (killed, or out of memory?); "
            "the same command goes on from where it was"
        )

    # ---- the end of a process that fails

    def leave(self, error: BaseException) -> bool:
        """Tell the others what went wrong; return whether the lead has taken note."""
        if self.store is None:
            return False
        kind = "" if isinstance(error, MisoError) else f"{type(error).__name__}: "
        with suppress(RuntimeError):
            if not isinstance(error, TeamEnded):
                self.store.compare_set(FAILED, "", f"process {self.rank} of {self.size}: {kind}{error}")
                dist.all_reduce(torch.ones(1), async_op=True).wait(LAST_WORDS)
            if self.leads:
                self.store.set(HEARD, "1")
            self.store.wait([HEARD], LAST_WORDS)
            dist.destroy_process_group()  # its threads, met by the end of Python, abort the process
            return True
        return False


ALONE = Team()


@contextmanager
def join_team() -> Iterator[Team]:
    """Join the processes that `torchrun` started; without it this process is alone.

    If one fails, all end: the lead with the error, the others without a word, so that it is said once (our
    own faults keep their traceback, too).

    Raises
    ------
    MisoError
        If the others cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield ALONE
        return
    team = _joined()
    try:
        yield team
    except BaseException as err:
        told = team.leave(err)
        if not team.leads:
            time.sleep(1)  # torchrun ends the others as soon as one has ended; let the lead speak first
            if told and isinstance(err, MisoError):
                raise SystemExit(USERS_FAULT) from err
        raise
    dist.destroy_process_group()


def _joined() -> Team:
    try:
        store, rank, size = next(rendezvous("env://", timeout=timedelta(minutes=5)))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=AT_MOST)
    except (RuntimeError, ValueError) as err:
        raise MisoError(
            f"the {os.environ['WORLD_SIZE']} processes of this training do not find each other "
            f"({str(err).splitlines()[0]}); start them with torchrun"
        ) from err
    return Team(rank=rank, size=size, place=int(os.environ.get("LOCAL_RANK", "0")), store=store)
