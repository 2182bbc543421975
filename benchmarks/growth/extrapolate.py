"""10,000 slides on 64 GPUs: what the formula says, what the simulation says, and what both assume."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from math import inf
from pathlib import Path

import numpy as np

from growth.foresight import Slides, foresee
from growth.rows import Row, Rows
from growth.simulation import Faults, Fleet, Run, simulate
from miso.errors import ConfigError
from miso.registry import unknown

AXIS = "fleet"
TILE_MM2 = 0.112**2
"""Area of a tile of 224 px at 0.5 µm/px."""
ASSUMED = "assumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What the extrapolation rests on; nothing of it is measured unless `measured` says so.

    Attributes
    ----------
    slides, tissue_mm2, sigma, passes
        Slides; the median slide's tissue; standard deviation of its logarithm; times over the slide.
    tiles_per_s
        That a GPU maps, reading and writing included.
    fixed_s
        Of a unit, whatever its area: opening, tissue detection, the look over the slide, the page.
    gb, storage_gb_s
        Bytes of the median slide, in proportion to its area, and what the storage gives to all actors
        together, each an equal share; a slide is fetched before it is worked on, not meanwhile.
    nodes, gpus, start_s
        Nodes, GPUs on each, and seconds until an actor has loaded its encoder.
    failing, attempts, straggling, slowdown, deadline_s
        See `simulation.Faults`.
    deaths_per_hour, recovery_s
        Of a node, and until its actors start again.
    """

    slides: int = 10_000
    tissue_mm2: float = 100.0
    sigma: float = 0.6
    passes: int = 2
    tiles_per_s: float = 500.0
    fixed_s: float = 15.0
    gb: float = 1.0
    storage_gb_s: float = 10.0
    nodes: int = 8
    gpus: int = 8
    start_s: float = 60.0
    failing: float = 0.01
    attempts: int = 3
    straggling: float = 0.02
    slowdown: float = 4.0
    deadline_s: float = 900.0
    deaths_per_hour: float = 0.05
    recovery_s: float = 600.0
    measured: str = ""

    @property
    def units(self) -> Slides:
        """What a slide takes."""
        tiles = self.passes * self.tissue_mm2 / TILE_MM2
        fetch_s = self.gb * self.nodes * self.gpus / self.storage_gb_s
        median_s = tiles / self.tiles_per_s + fetch_s
        return Slides(n=self.slides, fixed_s=self.fixed_s, median_s=median_s, sigma=self.sigma)

    def source(self, name: str) -> str:
        """Say where a number is from."""
        return self.measured if name == "tiles_per_s" and self.measured else ASSUMED


def assume(words: Sequence[str], gpu: Path | None) -> Assumptions:
    """Take the defaults, a GPU's measured rate, and then `name=value` words.

    Raises
    ------
    ConfigError
        If a name or value is none.
    """
    made = Assumptions()
    if gpu is not None:
        held = json.loads(gpu.read_text())
        rates = [row["tiles_per_s"] for row in held["rows"] if row["what"] == "map"]
        if rates:
            made = replace(made, tiles_per_s=float(rates[-1]), measured=f"measured: {gpu.name}")
    known = {field.name: type(getattr(made, field.name)) for field in fields(made)}
    for word in words:
        name, _, value = word.partition("=")
        if name not in known:
            raise ConfigError(unknown("assumption", name, list(known)))
        try:
            made = replace(made, **{name: known[name](value)})
        except ValueError as err:
            raise ConfigError(f"--assume {word}: {value!r} is no {known[name].__name__}") from err
        if name == "tiles_per_s":
            made = replace(made, measured="")
    return made


def newest_gpu(results: Path) -> Path | None:
    """Find the figures of a GPU, if any were taken; the newest."""
    found = [
        path
        for path in results.glob("gpu_*.json")
        if json.loads(path.read_text())["machine"]["device_type"] == "cuda"
    ]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def scenarios(given: Assumptions) -> dict[str, tuple[Fleet, Faults]]:
    """Name what is told apart: an undisturbed run, each kind of trouble alone, and all of them."""
    calm = Fleet(nodes=given.nodes, gpus=given.gpus, start_s=given.start_s)
    dying = replace(calm, deaths_per_hour=given.deaths_per_hour, recovery_s=given.recovery_s)
    slow = {
        "straggling": given.straggling,
        "slowdown": given.slowdown,
        "attempts": given.attempts,
        "deadline_s": given.deadline_s,
    }
    fails = {"failing": given.failing, "attempts": given.attempts}
    return {
        "undisturbed": (calm, Faults()),
        "units fail": (calm, Faults(**fails)),  # type: ignore[arg-type]
        "stragglers, deadline": (calm, Faults(**slow)),  # type: ignore[arg-type]
        "nodes die": (dying, Faults()),
        "all of these": (dying, Faults(**fails | slow)),  # type: ignore[arg-type]
    }


def measure_fleet(given: Assumptions, rows: Rows, seeds: int) -> None:
    """Put formula and simulation side by side, for each scenario."""
    said = {key: value for key, value in asdict(given).items() if value != inf}
    for name, (fleet, faults) in scenarios(given).items():
        rows.measure(
            AXIS,
            name,
            given.slides,
            json.dumps({**said, "seeds": seeds}),
            partial(compared, given.units, fleet, faults, seeds),
        )


def compared(slides: Slides, fleet: Fleet, faults: Faults, seeds: int) -> Row:
    """Return the hours by formula and by simulation, their interval over seeds, and their difference."""
    foreseen, runs = foresee(slides, fleet, faults), []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        runs.append(simulate(slides.drawn(rng), fleet, faults, rng))
    hours = np.array([run.makespan_s for run in runs]) / 3600
    low, high = np.percentile(hours, [2.5, 97.5])
    return {
        "formula_h": round(foreseen.makespan_s / 3600, 3),
        "simulated_h": round(float(hours.mean()), 3),
        "low_h": round(float(low), 3),
        "high_h": round(float(high), 3),
        "difference_pct": round(100 * (foreseen.makespan_s / 3600 / float(hours.mean()) - 1), 2),
        "slides_per_h": round(slides.n / float(hours.mean())),
        "gpu_h": round(fleet.actors * float(hours.mean()), 1),
        "idle_pct": round(100 * float(np.mean([_unused(run, fleet) for run in runs])), 2),
        "wasted_pct": round(
            100 * float(np.mean([run.wasted_s / (run.useful_s + run.wasted_s) for run in runs])), 2
        ),
        "failed": round(float(np.mean([run.failed for run in runs])), 2),
        "deaths": round(float(np.mean([run.deaths for run in runs])), 2),
    }


def _unused(run: Run, fleet: Fleet) -> float:
    """Share of the actors' time in which they start, wait or are dead."""
    return 1 - (run.useful_s + run.wasted_s) / (fleet.actors * run.makespan_s)
