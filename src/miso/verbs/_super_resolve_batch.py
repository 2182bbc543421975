"""Maps of one slide or of many: here, on workers, or on a cluster, with the run loaded once by each."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from miso.errors import SlideError
from miso.launch import Launch, RunReport, State, Unit, map_units
from miso.launch.memory import limit_memory
from miso.launch.result import make_at, require_folder
from miso.launch.units import Do
from miso.maps import ExpressionMap, open_map
from miso.storage.fetched import borrow, cache_folder
from miso.storage.remote import local_path
from miso.storage.store import JSON
from miso.verbs._batch import run_table, said, teller
from miso.verbs._fetched_run import fetched_run
from miso.verbs._super_resolve import MapOptions, Mapper, unlike_training
from miso.verbs._table import read_table
from miso.verbs.console import tell

COLUMNS = ("slide", "name", "mpp", "region")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideTask:
    """One row of a table of slides; `slide`, `region` and `out` are paths or URLs."""

    name: str
    slide: str
    out: str
    mpp: float | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapWork:
    """Maps slides with one run; copies of what is at URLs are in `cache`."""

    run: str
    options: MapOptions
    cache: Path
    memory: int | None = None

    def open(self) -> Do[SlideTask]:
        """Load the run and its encoder."""
        limit_memory(self.memory)
        mapper = Mapper(fetched_run(self.run, self.cache), self.options)

        def do(task: SlideTask) -> tuple[State, str]:
            def make(out: Path) -> tuple[State, str]:
                return self._map(task, out, mapper)

            return make_at(task.out, self.cache, self._record(task), make, inputs=(task.slide, task.region))

        return do

    def _map(self, task: SlideTask, out: Path, mapper: Mapper) -> tuple[State, str]:
        there = out.exists()
        with ExitStack() as stack:
            slide = stack.enter_context(borrow(task.slide, self.cache))
            region = stack.enter_context(borrow(task.region, self.cache)) if task.region else None
            made = mapper.map(slide, out, mpp=task.mpp, region=region)
        words = [facts(made, out), unlike_training(made)]
        return ("skipped" if there else "done"), "; ".join(word for word in words if word)

    def _record(self, task: SlideTask) -> dict[str, JSON]:
        """Return what a map at a URL is made from; devices and pages do not change it."""
        kept = {key: value for key, value in asdict(self.options).items() if key not in ("device", "report")}
        return {
            "run": self.run,
            **{key: value for key, value in asdict(task).items() if key != "out"},
            **kept,
        }


def facts(made: ExpressionMap, out: Path) -> str:
    """Say what a map is."""
    rows, columns = made.raster.shape
    cells = f"{len(made.genes)} genes × {rows} × {columns} cells of {made.pitch_um:.3g} µm"
    return f"{out}: {cells} ({made.units})"


@dataclass(frozen=True, slots=True, kw_only=True)
class BandWork:
    """Maps bands of one slide with one run; whoever ends the last of them ends the map."""

    run: str
    options: MapOptions
    slide: Path
    out: Path
    mpp: float | None
    region: Path | None
    cache: Path
    memory: int | None

    def open(self) -> Do[tuple[int, int]]:
        """Load the run and its encoder."""
        limit_memory(self.memory)
        mapper = Mapper(fetched_run(self.run, self.cache), self.options)
        require_folder(self.out.parent)

        def do(band: tuple[int, int]) -> tuple[State, str]:
            made = mapper.map_band(self.slide, self.out, band, mpp=self.mpp, region=self.region)
            return "done", "its rows are there" if made is None else "the map is whole"

        return do


def map_slide(
    run: str,
    slide: Path,
    out: Path,
    mpp: float | None,
    region: Path | None,
    options: MapOptions,
    launch: Launch,
    bands: int,
    cache: Path,
) -> RunReport:
    """Map one slide, in this process or in bands on workers, and say how to look at it."""
    if not slide.exists():
        raise SlideError(f"no image at {slide}")
    report = RunReport()
    out.parent.mkdir(parents=True, exist_ok=True)
    if launch.apart:
        work = BandWork(
            run=run,
            options=options,
            slide=slide,
            out=out,
            mpp=mpp,
            region=region,
            cache=cache,
            memory=launch.memory,
        )
        units = [Unit(name=f"band {index + 1} of {bands}", task=(index, bands)) for index in range(bands)]
        report = map_units(units, work, launch, teller(len(units)))
        if report.having("failed"):
            return report
        made = open_map(out)
    else:
        limit_memory(launch.memory)
        made = Mapper(fetched_run(run, cache), options).map(slide, out, mpp=mpp, region=region)
    if warning := unlike_training(made):
        tell(warning)
    gene = made.genes[0]
    tell(f"{facts(made, out)}; draw one with: miso plot {out} --gene {gene} --out {gene}.png")
    return report


def map_slides(
    run: str, table: Path, out: str, options: MapOptions, launch: Launch, cache: Path
) -> RunReport:
    """Map the slides of a table, each to NAME.zarr below a folder or URL; the run report is there too."""
    tasks = read_slides(table, out)
    if local_path(out) is None:
        options = replace(options, report=False)  # pages are written beside maps on a disk
    work = MapWork(run=run, options=options, cache=cache.absolute(), memory=launch.memory)
    units = [Unit(name=name, task=task) for name, task in tasks.items()]

    def again(rest: Path) -> list[str]:
        words = [*_again(options), *said(("--cache", cache, cache_folder(None)))]
        return [run, "--slides", str(rest), "--out", out, *words]

    return run_table(
        units, work, launch, out, columns=COLUMNS, command="super-resolve", again=again, kind="slides"
    )


def read_slides(table: Path, out: str) -> dict[str, SlideTask]:
    """Read a table of slides, by name. Paths are relative to the table; URLs are taken as they are.

    Raises
    ------
    ConfigError
        If a column is unknown, a slide is missing, a number is none, or two slides have one name.
    """
    tasks: dict[str, SlideTask] = {}
    for row in read_table(table, COLUMNS, required="slide"):
        name = row.name("slide", tasks)
        tasks[name] = SlideTask(
            name=name,
            slide=row.place("slide") or "",
            out=f"{out.rstrip('/')}/{name}.zarr",
            mpp=row.number("mpp"),
            region=row.place("region"),
        )
    return tasks


def _again(options: MapOptions) -> list[str]:
    """Words for the options that are not the defaults."""
    usual = MapOptions()
    words = said(
        ("--genes", ",".join(options.genes or ()), ""),
        ("--seams", options.seams, usual.seams),
        ("--stride", options.stride, usual.stride),
        ("--passes", options.passes, usual.passes),
        ("--tissue", options.tissue, usual.tissue),
        ("--device", options.device, usual.device),
    )
    flags = {"--no-std": not options.std, "--in-sample": options.in_sample, "--no-report": not options.report}
    return [*words, *(flag for flag, on in flags.items() if on)]
