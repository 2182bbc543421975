"""Workers that are child processes of this one: one that crashes or hangs is replaced, and costs one unit.

Each has a pipe of its own, so that whatever becomes of one, the others do not notice.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from miso.launch.attempt import attempt, here
from miso.launch.units import End, Ended, Unit, Work

T = TypeVar("T")
SPAWN = multiprocessing.get_context("spawn")  # forking a process that has threads (torch, libvips) hangs
GPUS = Path("/proc/driver/nvidia/gpus")
TO_END_S = 5.0
"""Seconds that a process has to end by itself once its pipe is closed."""


@dataclass(slots=True, kw_only=True)
class Worker(Generic[T]):
    """A child process, what it is at, and since when (seconds of the monotonic clock)."""

    index: int
    process: SpawnProcess
    pipe: Connection
    unit: Unit[T] | None = None
    since: float = 0.0


class LocalCrew(Generic[T]):
    """Child processes of this one.

    Parameters
    ----------
    size
        How many; each starts when it gets its first unit.
    cpus
        Threads of each; by default this process's cores are shared out.
    deadline_s
        After so many seconds at one unit a process is killed.
    """

    def __init__(
        self, work: Work[T], size: int, cpus: float | None = None, deadline_s: float | None = None
    ) -> None:
        self._work, self._size, self._deadline_s = work, size, deadline_s
        self._threads = max(int(cpus or _cores() / max(size, 1)), 1)
        self._workers: dict[int, Worker[T]] = {}

    @property
    def busy(self) -> int:
        """Workers with a unit."""
        return sum(worker.unit is not None for worker in self._workers.values())

    @property
    def free(self) -> int:
        """Workers without a unit, those that are yet to start among them."""
        return self._size - self.busy

    def give(self, unit: Unit[T]) -> None:
        """Have a unit done by an idle process, or by a new one."""
        for dead in [w for w in self._workers.values() if w.unit is None and not w.process.is_alive()]:
            self._forget(dead)
        idle = [worker for worker in self._workers.values() if worker.unit is None]
        worker = idle[0] if idle else self._start()
        worker.unit, worker.since = unit, time.monotonic()
        with suppress(OSError):  # one that died while it was idle: `wait` sees that
            worker.pipe.send(unit)

    def wait(self, seconds: float) -> list[Ended[T]]:
        """Return what is over: units done, processes that died, processes that took too long."""
        working = [worker for worker in self._workers.values() if worker.unit is not None]
        ready = set(connection.wait([worker.pipe for worker in working], timeout=seconds))
        over = [self._receive(worker) for worker in working if worker.pipe in ready]
        late = [worker for worker in working if worker.pipe not in ready and self._late(worker)]
        return over + [self._end(worker) for worker in late]

    def spare(self) -> None:
        """Let idle processes wait: they cost little here."""

    def close(self) -> None:
        """Kill those at work, and let the idle end by themselves."""
        for worker in self._workers.values():
            if worker.unit is not None:
                worker.process.kill()
            worker.pipe.close()
        for worker in self._workers.values():
            worker.process.join(TO_END_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join(TO_END_S)
        self._workers.clear()

    def _start(self) -> Worker[T]:
        index = next(i for i in range(self._size) if i not in self._workers)
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=serve, args=(theirs, index, self._threads), name=f"miso-{index}")
        process.start()
        theirs.close()
        ours.send(self._work)
        worker: Worker[T] = Worker(index=index, process=process, pipe=ours)
        self._workers[index] = worker
        return worker

    def _receive(self, worker: Worker[T]) -> Ended[T]:
        try:
            ended: Ended[T] = worker.pipe.recv()
        except (EOFError, OSError):  # the pipe closed, and sometimes not cleanly
            worker.process.join(TO_END_S)
            return self._gone(worker, "died", f"its process {_last_words(worker.process.exitcode)}")
        if ended.end == "fault":
            self._forget(worker)  # it is ending
        worker.unit = None
        return ended

    def _late(self, worker: Worker[T]) -> bool:
        return self._deadline_s is not None and time.monotonic() - worker.since > self._deadline_s

    def _end(self, worker: Worker[T]) -> Ended[T]:
        worker.process.kill()
        return self._gone(worker, "late", f"no result after {self._deadline_s:g} s; its process was ended")

    def _gone(self, worker: Worker[T], end: End, message: str) -> Ended[T]:
        unit, where = worker.unit, f"{here().partition(':')[0]}:{worker.process.pid}"
        assert unit is not None
        self._forget(worker)
        seconds = time.monotonic() - worker.since
        return Ended(unit=unit, end=end, message=message, seconds=seconds, where=where)

    def _forget(self, worker: Worker[T]) -> None:
        worker.process.join(TO_END_S)
        if worker.process.is_alive():  # it hangs in the system, or on a thread: nobody waits for it
            worker.process.kill()
        worker.pipe.close()
        del self._workers[worker.index]


def serve(pipe: Connection, index: int, threads: int) -> None:
    """Do the units that come through a pipe, until it closes. The first thing to come is the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = os.environ["VIPS_CONCURRENCY"] = str(threads)  # before torch is imported
    _take_a_gpu(index)
    work, do = pipe.recv(), None
    while True:
        try:
            unit = pipe.recv()
        except EOFError:
            return
        with Confession(pipe, unit):
            do = do or work.open()
            pipe.send(attempt(do, unit))


class Confession(Generic[T]):
    """Tells the parent of what is our own fault, on its way to ending this process."""

    def __init__(self, pipe: Connection, unit: Unit[T]) -> None:
        self._pipe, self._unit, self._start = pipe, unit, time.monotonic()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            message = "".join(traceback.format_exception(error))
            seconds = time.monotonic() - self._start
            self._pipe.send(
                Ended(unit=self._unit, end="fault", message=message, seconds=seconds, where=here())
            )
            sys.exit(1)  # quietly: the parent has the traceback


def _end_with_parent() -> None:
    """End this process when its parent is gone, even by SIGKILL, and leave nothing running."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _take_a_gpu(index: int) -> None:
    """Give worker k the k-th GPU, where there are several."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = [gpu for gpu in visible.split(",") if gpu]
    else:
        gpus = [str(i) for i, _ in enumerate(GPUS.iterdir())] if GPUS.is_dir() else []
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _last_words(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name if -exitcode in set(signal.Signals) else f"signal {-exitcode}"
        reason = " (out of memory, or ended by somebody)" if name == "SIGKILL" else ""
        return f"was ended by {name}{reason}"
    return f"ended with code {exitcode}"
