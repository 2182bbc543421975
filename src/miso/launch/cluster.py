"""Workers that are actors on a Ray cluster: Ray places them, restarts them, and moves what travels.

Each actor opens the work once (so that an encoder stays loaded on its GPU) and does one unit at a time. When
it dies, or its node does, its unit comes back as "died" and Ray restarts the actor wherever there is room.
"""

import logging
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from miso.errors import ConfigError
from miso.launch.attempt import attempt
from miso.launch.launch import Launch
from miso.launch.units import End, Ended, Unit, Work

T = TypeVar("T")
KINDS = ("CPU", "GPU", "memory")
KNOCK_S = 5.0
"""Seconds that the head of a cluster has to answer."""
PATIENCE_S = 30.0
"""Seconds without any worker after which the user hears what is waited for."""

log = logging.getLogger(__name__)


class Doer(Generic[T]):
    """What an actor is: work that is opened by its first unit."""

    def __init__(self, work: Work[T], folder: str) -> None:
        self._work = work
        self._do: Any = None
        if Path(folder).is_dir():  # where the driver is: relative paths mean the same here
            os.chdir(folder)

    def ping(self) -> None:
        """Answer, which says that there is room for this actor and that it runs."""

    def attempt(self, unit: Unit[T]) -> Ended[T]:
        """Do a unit."""
        self._do = self._do or self._work.open()
        return attempt(self._do, unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running(Generic[T]):
    """A unit that an actor is at, and since when (seconds of the monotonic clock)."""

    actor: Any
    unit: Unit[T]
    since: float


class RayCrew(Generic[T]):
    """Actors of a cluster, as many as there is room for, or as many as `launch.workers` says."""

    def __init__(self, work: Work[T], launch: Launch, units: int) -> None:
        self._ray = import_ray()
        self._launch = launch
        self._ours = join_cluster(self._ray, launch.address)
        self._work = work  # small, and sent along: an actor that is restarted finds nothing lost
        self._kind = self._ray.remote(Doer).options(
            num_cpus=1 if launch.cpus is None else launch.cpus,
            num_gpus=launch.gpus,
            memory=launch.memory,
            max_restarts=-1,
            max_task_retries=0,  # units that died are counted, and given to whoever is free
        )
        self._coming: dict[Any, Any] = {}  # the answer to a ping -> the actor
        self._idle: list[Any] = []
        self._running: dict[Any, Running[T]] = {}
        self._size = min(launch.workers or self._room(), units)
        self._said = time.monotonic()
        for _ in range(self._size):
            self._hire()

    @property
    def busy(self) -> int:
        """Actors at a unit."""
        return len(self._running)

    @property
    def free(self) -> int:
        """Actors that run and have no unit."""
        return len(self._idle)

    def give(self, unit: Unit[T]) -> None:
        """Have a unit done by an idle actor."""
        actor = self._idle.pop()
        reference = actor.attempt.remote(unit)
        self._running[reference] = Running(actor=actor, unit=unit, since=time.monotonic())

    def wait(self, seconds: float) -> list[Ended[T]]:
        """Return what is over, and take in actors that have started."""
        waited = [*self._running, *self._coming]
        if not waited:
            return []
        ready, _ = self._ray.wait(waited, num_returns=1, timeout=seconds)
        for reference in [one for one in ready if one in self._coming]:
            self._arrive(reference)
        over = [self._receive(reference) for reference in ready if reference in self._running]
        self._say_what_is_waited_for()
        return over + [self._end(reference) for reference in self._late()]

    def spare(self) -> None:
        """Let idle actors go, so that those whose node died find room."""
        for actor in self._idle:
            self._ray.kill(actor)
        self._idle.clear()

    def close(self) -> None:
        """End every actor; a cluster of our own ends too."""
        for actor in [*self._idle, *self._coming.values(), *(one.actor for one in self._running.values())]:
            self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()

    def _room(self) -> int:
        """How many actors the cluster holds now; at least one, which waits for a node."""
        there = self._ray.cluster_resources()
        cpus = 1 if self._launch.cpus is None else self._launch.cpus
        wanted = {"CPU": cpus, "GPU": self._launch.gpus, "memory": self._launch.memory or 0}
        return max(min(int(there.get(kind, 0) / much) for kind, much in wanted.items() if much), 1)

    def _hire(self, actor: Any = None) -> None:
        """Make an actor, or wait for one that Ray restarts."""
        actor = actor or self._kind.remote(self._work, str(Path.cwd()))
        self._coming[actor.ping.remote()] = actor

    def _arrive(self, reference: Any) -> None:
        actor = self._coming.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayActorError as err:
            if err.actor_init_failed:
                last = str(err).strip().splitlines()[-1]
                raise ConfigError(
                    f"a worker cannot start on the cluster: {last}; is the same MISO on every node?"
                ) from err
            self._hire(self._successor(actor))
        except self._ray.exceptions.RayError as err:
            last = str(err).strip().splitlines()[-1]
            raise ConfigError(f"a worker cannot start on the cluster: {last}") from err
        else:
            self._idle.append(actor)
            self._said = time.monotonic()

    def _receive(self, reference: Any) -> Ended[T]:
        running = self._running.pop(reference)
        try:
            ended: Ended[T] = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as err:  # our own fault: the actor lives
            self._idle.append(running.actor)
            return _over(running, "fault", str(err))
        except self._ray.exceptions.RayError as err:
            log.info("%s: %s", running.unit.name, err)
            self._hire(self._successor(running.actor))
            return _over(running, "died", "its worker or its node died (Ray's logs say how)")
        self._idle.append(running.actor)
        return ended

    def _successor(self, actor: Any) -> Any:
        """Return the actor itself where Ray restarts it, None where it is gone and a new one is needed."""
        try:
            actor.ping.remote()
        except self._ray.exceptions.RayActorError:
            return None
        return actor

    def _late(self) -> list[Any]:
        deadline = self._launch.deadline_s
        now = time.monotonic()
        return [one for one, running in self._running.items() if deadline and now - running.since > deadline]

    def _end(self, reference: Any) -> Ended[T]:
        running = self._running.pop(reference)
        self._ray.kill(running.actor)
        self._hire()
        return _over(running, "late", f"no result after {self._launch.deadline_s:g} s; its process was ended")

    def _say_what_is_waited_for(self) -> None:
        if self._idle or self._running or time.monotonic() - self._said < PATIENCE_S:
            return
        self._said = time.monotonic()
        free = {kind: much for kind, much in self._ray.available_resources().items() if kind in KINDS}
        log.warning(
            "no worker is up: each takes %s cores, %s GPUs and %s bytes; the cluster has %s free",
            *(self._launch.cpus or 1, self._launch.gpus, self._launch.memory or "any"),
            ", ".join(f"{much:g} {kind}" for kind, much in free.items()) or "nothing",
        )


def import_ray() -> ModuleType:
    """Import Ray.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        import ray
    except ImportError as err:
        raise ConfigError("launch=ray needs Ray: pip install 'miso-spatial[cluster]'") from err
    return cast("ModuleType", ray)


def join_cluster(ray: ModuleType, address: str | None) -> bool:
    """Connect to a cluster; return whether it is one of our own, made for this batch.

    Raises
    ------
    ConfigError
        If there is none at the address.
    """
    if ray.is_initialized():
        return False
    _knock(address)
    try:
        ray.init(address=address, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError) as err:
        where = address or "the address that RAY_ADDRESS names"
        raise ConfigError(f"no Ray cluster at {where}: {' '.join(str(err).split())[:300]}") from err
    return True


def _knock(address: str | None) -> None:
    """Find out within seconds that nobody listens at `host:port`; Ray asks for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return  # "auto", or a name that Ray resolves
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except OSError as err:
        raise ConfigError(
            f"no Ray cluster at {address} ({err.strerror or err}); `ray status` on its head says where it is"
        ) from err


def _over(running: Running[T], end: End, message: str) -> Ended[T]:
    seconds = time.monotonic() - running.since
    return Ended(unit=running.unit, end=end, message=message, seconds=seconds)
