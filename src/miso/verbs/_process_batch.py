"""Many sections to Samples: those of a HER2ST folder, or of a table; here, on workers, or on a cluster."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

from miso.encoders import Encoder
from miso.errors import SampleError
from miso.launch import Launch, RunReport, State, Unit, map_units
from miso.launch.memory import limit_memory
from miso.launch.result import make_at, require_folder
from miso.launch.units import Do
from miso.registry import unknown
from miso.samples.vendors.section import DuplicateGenes, VendorOptions
from miso.samples.vendors.st.her2st import SectionFiles, find_sections, incomplete_sections, read_section
from miso.storage.fetched import borrow, cache_folder
from miso.storage.remote import local_path
from miso.storage.store import JSON
from miso.verbs._batch import keep_report, launch_words, results_in, run_table, said, teller
from miso.verbs._process import outcome, process, process_data
from miso.verbs._process_options import ProcessOptions, one_of
from miso.verbs._process_report import report_cohort
from miso.verbs._table import read_table
from miso.verbs.console import tell

COLUMNS = ("path", "slide", "name", "patient", "slide_mpp", "bin_um", "library")


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionTask:
    """One row of a table of sections; places are paths or URLs, `out` that of the Sample."""

    name: str
    patient: str
    path: str
    slide: str | None
    out: str
    slide_mpp: float | None = None
    bin_um: float | None = None
    library: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Her2stWork:
    """Makes Samples of HER2ST sections below a folder."""

    options: ProcessOptions
    out: Path
    memory: int | None = None

    def open(self) -> Do[SectionFiles]:
        """Load the encoder."""
        limit_memory(self.memory)
        encoder = self.options.load()

        def do(files: SectionFiles) -> tuple[State, str]:
            require_folder(self.out)
            section, out = read_section(files), self.out / files.name
            return outcome(
                process(section, files.image, encoder, out, self.options, files.name, files.patient)
            )

        return do


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortWork:
    """Makes Samples of any vendor's sections, at paths or URLs; copies of what is at URLs are in `cache`."""

    options: ProcessOptions
    duplicate_genes: DuplicateGenes
    cache: Path
    memory: int | None = None

    def open(self) -> Do[SectionTask]:
        """Load the encoder."""
        limit_memory(self.memory)
        encoder = self.options.load()

        def do(task: SectionTask) -> tuple[State, str]:
            def make(out: Path) -> tuple[State, str]:
                return self._process(task, out, encoder)

            return make_at(task.out, self.cache, self._record(task), make, inputs=(task.path, task.slide))

        return do

    def _process(self, task: SectionTask, out: Path, encoder: Encoder) -> tuple[State, str]:
        options = self.options
        if task.slide_mpp is not None:
            options = replace(options, ingest=replace(options.ingest, slide_mpp=task.slide_mpp))
        vendor = VendorOptions(duplicate_genes=self.duplicate_genes, bin_um=task.bin_um, library=task.library)
        with ExitStack() as stack:
            source = stack.enter_context(borrow(task.path, self.cache))
            slide = stack.enter_context(borrow(task.slide, self.cache)) if task.slide else None
            made = process_data(
                source,
                slide,
                out,
                options,
                vendor,
                name=task.name,
                patient=task.patient,
                encoder=encoder,
            )
            return outcome(made)

    def _record(self, task: SectionTask) -> dict[str, JSON]:
        """Return what a Sample at a URL is made from; device and folders do not change it."""
        options = {key: value for key, value in asdict(self.options).items() if key != "device"}
        options["stain_reference"] = self.options.stain_reference and str(self.options.stain_reference)
        section = {key: value for key, value in asdict(task).items() if key != "out"}
        return {**section, "duplicate_genes": self.duplicate_genes, "options": options}


def process_her2st_folder(
    folder: Path,
    names: list[str],
    options: ProcessOptions,
    launch: Launch = Launch(),  # noqa: B008  frozen
) -> RunReport:
    """Process sections of a HER2ST folder; the run report is kept beside the Samples."""
    sections = {files.name: files for files in find_sections(folder)}
    lacking = incomplete_sections(folder)
    for name in names:
        if name in lacking:
            raise SampleError(f"section {name!r} of {folder} has no {', no '.join(lacking[name])}")
        if name not in sections:
            raise SampleError(unknown("section", name, list(sections)))
    for name in [] if names else lacking:
        tell(f"{name}: left out, it has no {', no '.join(lacking[name])}")
    out = folder / "processed_data"
    work = Her2stWork(options=options, out=out, memory=launch.memory)
    units = [Unit(name=name, task=sections[name]) for name in dict.fromkeys(names or sections)]
    with results_in(str(out)):
        report = map_units(units, work, launch, teller(len(units)))
    failed = [one.unit for one in report.having("failed")]
    words = ["process-her2st", "--path-dataset", str(folder), "--samples", ",".join(failed)]
    keep_report(report, out, [*words, *_again(options), *launch_words(launch)], "sections")
    report_cohort(folder, out, report, list(sections), lacking)
    return report


def process_cohort(
    table: Path,
    out: str,
    names: Sequence[str],
    options: ProcessOptions,
    duplicate_genes: str,
    launch: Launch,
    cache: Path,
) -> RunReport:
    """Process the sections of a table to Samples below a folder or URL; the run report is kept there too."""
    one_of("--duplicate-genes", duplicate_genes, get_args(DuplicateGenes))
    tasks = read_sections(table, out)
    for name in names:
        if name not in tasks:
            raise SampleError(unknown("section", name, list(tasks)))
    work = CohortWork(
        options=options,
        duplicate_genes=duplicate_genes,  # type: ignore[arg-type]  # checked above
        cache=cache.absolute(),
        memory=launch.memory,
    )
    units = [Unit(name=name, task=tasks[name]) for name in dict.fromkeys(names or tasks)]

    def again(rest: Path) -> list[str]:
        words = said(("--duplicate-genes", duplicate_genes, "sum"), ("--cache", cache, cache_folder(None)))
        return [str(rest), "--out", out, *_again(options), *words]

    report = run_table(
        units, work, launch, out, columns=COLUMNS, command="process-cohort", again=again, kind="sections"
    )
    if (folder := local_path(out)) is not None:
        report_cohort(table, folder, report, list(tasks), {})
    return report


def read_sections(table: Path, out: str) -> dict[str, SectionTask]:
    """Read a table of sections, by name. Paths are relative to the table; URLs are taken as they are.

    Raises
    ------
    ConfigError
        If a column is unknown, a path is missing, a number is none, or two sections have one name.
    """
    tasks: dict[str, SectionTask] = {}
    for row in read_table(table, COLUMNS, required="path"):
        name = row.name("path", tasks)
        tasks[name] = SectionTask(
            name=name,
            patient=row.cells.get("patient") or name,
            path=row.place("path") or "",
            slide=row.place("slide"),
            out=f"{out.rstrip('/')}/{name}",
            slide_mpp=row.number("slide_mpp"),
            bin_um=row.number("bin_um"),
            library=row.cells.get("library", ""),
        )
    return tasks


def _again(options: ProcessOptions) -> list[str]:
    """Words for the options that are not the defaults."""
    usual, ingest = ProcessOptions(encoder=options.encoder), options.ingest
    words = said(
        ("--encoder", options.encoder, "phikon"),
        ("--precision", options.precision, usual.precision),
        ("--device", options.device, usual.device),
        ("--knn", options.knn, usual.knn),
        ("--mpp", ingest.mpp, usual.ingest.mpp),
        ("--level", ingest.level, None),
        ("--tile-size", ingest.tile_px, usual.ingest.tile_px),
        ("--off-image", ingest.off_image, usual.ingest.off_image),
        ("--stain-norm", options.stain_norm, usual.stain_norm),
        ("--stain-reference", options.stain_reference, None),
        ("--stain-augment", options.stain_augment, None),
    )
    return [*words, "--trust-alignment"] if ingest.trust_alignment else words
