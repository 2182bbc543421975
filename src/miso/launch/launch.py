"""How a batch is run: in this process, in processes of this machine, or on a Ray cluster."""

from dataclasses import dataclass
from typing import Literal, get_args

from miso.errors import ConfigError

Engine = Literal["local", "ray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Where and how a batch runs.

    Attributes
    ----------
    engine
        "local" or "ray".
    workers
        Units at a time. None is one after another in this process with "local", and as many as the cluster
        holds with "ray".
    address
        Of the Ray cluster; where there is none, Ray looks for one, and starts its own on this machine.
    cpus, gpus, memory
        What a worker takes: cores, GPUs (a fraction shares one) and bytes. Ray places workers by them; None
        is a fair share of this machine's cores with "local", and one core with "ray".
    deadline_s
        Seconds after which the process of a unit is ended, and the unit given up. None waits for ever.
    retries
        How often a unit is begun again whose process died.
    """

    engine: Engine = "local"
    workers: int | None = None
    address: str | None = None
    cpus: float | None = None
    gpus: float = 0
    memory: int | None = None
    deadline_s: float | None = None
    retries: int = 2

    def __post_init__(self) -> None:
        if self.engine not in get_args(Engine):
            raise ConfigError(f"launch is {' or '.join(get_args(Engine))}, not {self.engine!r}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"at least one worker is needed, not {self.workers}")
        if self.engine == "local" and self.address is not None:
            raise ConfigError(f"the address {self.address!r} is of a Ray cluster; pass launch ray too")
        if self.deadline_s is not None and self.deadline_s <= 0:
            raise ConfigError(f"a deadline is some seconds, not {self.deadline_s:g}")
        if self.deadline_s is not None and not self.apart:
            raise ConfigError("a deadline ends the process of a unit: pass workers too (1 will do)")
        if (self.cpus is not None and self.cpus <= 0) or self.gpus < 0 or self.retries < 0:
            raise ConfigError(
                f"a worker takes some cores, no fewer than 0 GPUs, and no fewer than 0 retries, not "
                f"{self.cpus}, {self.gpus:g} and {self.retries}"
            )

    @property
    def apart(self) -> bool:
        """Whether units run in processes of their own."""
        return self.engine == "ray" or self.workers is not None
