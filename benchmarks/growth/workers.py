"""Workers against the time and throughput of `miso process-cohort`."""

import csv
import importlib.util
import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from growth.child import command
from growth.plan import Plan
from growth.rows import Row, Rows
from miso.phantom import PhantomSpec, write_phantom
from miso.verbs.console import tell

AXIS, WHAT = "workers", "process-cohort"
DRAWN = 2


def measure_workers(plan: Plan, rows: Rows, work: Path) -> None:
    """Process the same sections with each number of workers, each worker with one thread."""
    if importlib.util.find_spec("miso.verbs.process_cohort") is None:
        tell("workers: left out, this version has no miso process-cohort")
        return
    sizes = f"{plan.worker_sections} Visium sections of {plan.worker_um:g} µm, stain, a thread a worker"
    for n in plan.workers:
        rows.measure(AXIS, WHAT, n, sizes, partial(processed, plan, n, work))


def processed(plan: Plan, workers: int, work: Path) -> Row:
    """Process a few drawn sections over and over, under other names."""
    spec = PhantomSpec(seed=6, n_patients=DRAWN, n_sections=1, size_um=plan.worker_um, array="visium")
    drawn = write_phantom(spec, work / f"visium_{plan.worker_um:g}", "space-ranger-2")
    threads = os.environ.get("OMP_NUM_THREADS")
    with TemporaryDirectory(dir=work) as folder:
        table = write_table(Path(folder) / "samples.csv", drawn, spec.sections, plan.worker_sections)
        out = Path(folder) / "samples"
        os.environ["OMP_NUM_THREADS"] = "1"
        try:
            figures = command(
                f"process-cohort {table} --out {out} --workers {workers} --encoder stain --device cpu"
            )
        finally:
            os.environ.pop("OMP_NUM_THREADS")
            os.environ |= {"OMP_NUM_THREADS": threads} if threads else {}
        made = len(list(out.glob("*/sample.json")))
    if made != plan.worker_sections:
        raise SystemExit(f"process-cohort made {made} of {plan.worker_sections} Samples")
    return {**figures, "per_minute": round(60 * made / float(figures["wall_s"]), 2)}


def write_table(path: Path, drawn: Path, sections: tuple[str, ...], n: int) -> Path:
    """Write the table of sections: name, path, slide, patient."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["name", "path", "slide", "patient"])
        for index in range(n):
            first = sections[index % len(sections)]
            slide = drawn / "images" / f"{first}.jpg"
            table.writerow([f"S{index:03d}", drawn / first / "outs", slide, f"P{index}"])
    return path
