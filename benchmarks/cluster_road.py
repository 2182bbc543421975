"""A cohort through process, train and super-resolve on a two-node Ray cluster, while parts of it are killed.

A cohort of small phantom slides is walked twice: once undisturbed by worker processes of this machine, and
once on a Ray cluster of a head and two nodes (raylets of this machine). There, in each stage, a worker is
killed by SIGKILL, and then a node with all its workers, if the stage still runs; a fresh one replaces it
before the next stage. Both are compared at the end: features, tables, models, predictions and maps, bit for
bit but for when and where they were made. Prints what became of the units of each stage, and writes it to
benchmarks/results/.

    .venv/bin/python benchmarks/cluster_road.py --work work --slides 200
"""

import argparse
import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import psutil
import zarr
from ray.cluster_utils import Cluster
from safetensors.numpy import load_file

from miso.phantom import PhantomSpec, write_phantom
from miso.verbs.console import show_table

RESULTS = Path(__file__).parent / "results" / "cluster_road.json"
LAYOUT = "space-ranger-2"
GENES = "ERBB2,KRT8"
KINDS = {
    "tile and patch features": "samples/*/patch_features.npy",
    "tables of Samples": "samples/*/adata.h5ad",
    "teachers and students": "*/repeat_*/checkpoint/model.safetensors",
    "predictions": "*/predictions/*.h5ad",
    "maps": "maps/*.zarr",
}
"""Results that are compared, and where they lie."""
SMALL = ("--encoder", "stain", "--tile-size", "64", "--knn", "7", "--device", "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for cohort, runs and maps")
    parser.add_argument("--slides", type=int, default=200)
    args = parser.parse_args()
    work, slides = args.work.absolute(), args.slides
    vendor = draw(work / "vendor", slides)
    quiet, rough = Road(at=work / "undisturbed", vendor=vendor), Road(at=work / "disturbed", vendor=vendor)
    quiet.walk(("--workers", "2"), ("workers=2",))
    with cluster() as nodes:
        address = ("--launch", "ray", "--address", nodes.address)
        rough.walk(address, ("launch=ray", f"address={nodes.address}"), nodes)
    keep("on a cluster of two nodes, disturbed", RESULTS, slides, rough.stages, compare(quiet.at, rough.at))


def draw(folder: Path, slides: int) -> Path:
    """Draw the cohort: slides of 600 µm a side, of up to 25 patients."""
    patients = min(slides, 25)
    spec = PhantomSpec(
        seed=3, n_patients=patients, n_sections=-(-slides // patients), size_um=600, n_visible=6, n_null=2
    )
    write_phantom(replace(spec, array="visium"), folder, LAYOUT)
    rows = [
        {"path": name, "slide": f"images/{name}.jpg", "name": name, "patient": name[0]}
        for name in spec.sections[:slides]
    ]
    write_rows(folder / "sections.csv", rows)
    (folder / "folds.json").write_text(json.dumps({"unit": "patient", "folds": folds(rows)}))
    write_rows(folder / "slides.csv", [{"slide": row["slide"], "name": row["name"]} for row in rows])
    return folder


def folds(rows: Sequence[dict[str, str]], parts: int = 4) -> list[dict[str, list[str]]]:
    """Hold each quarter of the patients out once; the next quarter validates."""
    patients = sorted({row["patient"] for row in rows})
    quarters = [patients[part::parts] for part in range(parts)]
    return [
        {
            "test": quarters[part],
            "val": quarters[(part + 1) % parts],
            "train": [one for k in range(2, parts) for one in quarters[(part + k) % parts]],
        }
        for part in range(parts)
    ]


def write_rows(file: Path, rows: Sequence[dict[str, str]]) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def cluster() -> Iterator["Nodes"]:
    """Start a head without work and two nodes of one core."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = Nodes(cluster=made)
    try:
        nodes.refill()
        yield nodes
    finally:
        made.shutdown()


@dataclass(kw_only=True)
class Nodes:
    """The nodes that do work."""

    cluster: Cluster
    there: list[object] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the head listens."""
        return str(self.cluster.address)

    def refill(self) -> None:
        """Bring them back to two."""
        while len(self.there) < 2:
            self.there.append(self.cluster.add_node(num_cpus=1))

    def kill_one(self) -> None:
        """End a raylet and all its workers at once."""
        self.cluster.remove_node(self.there.pop(0), allow_graceful=False)


@dataclass(kw_only=True)
class Road:
    """One walk of the cohort: where its results lie, and what became of the units of each stage."""

    at: Path
    vendor: Path
    stages: list[dict[str, object]] = field(default_factory=list)

    def walk(self, where: Sequence[str], keys: Sequence[str], nodes: Nodes | None = None) -> None:
        """Go all the way."""
        samples, teachers, students = self.at / "samples", self.at / "teachers", self.at / "students"
        cohort = f"cohort.path={samples}"
        table, slides = self.vendor / "sections.csv", self.vendor / "slides.csv"
        train = (
            "train",
            "--config-name",
            "train_10x",
            cohort,
            f"splits={self.vendor / 'folds.json'}",
            "knn=7",
        )
        folds = (*train, f"run_dir={teachers}", "baselines=false", "max_epochs=1", "device=cpu", *keys)
        label = ("generate-distillation-labels", "--config-name", "train_10x", cohort, f"run_dir={teachers}")
        distil = ("train", "--config-name", "distil", cohort, f"run_dir={students}", "max_epochs=1")
        maps = ("super-resolve", str(students), "--slides", str(slides), "--out", str(self.at / "maps"))
        self._stage(
            "process", ("process-cohort", str(table), "--out", str(samples), *SMALL, *where), samples, nodes
        )
        self._stage("train", folds, teachers, nodes)
        run(label)
        self._stage("distil", (*distil, "device=cpu", *keys), students, nodes)
        self._stage(
            "super-resolve", (*maps, "--genes", GENES, "--no-report", *where), self.at / "maps", nodes
        )

    def _stage(self, name: str, words: Sequence[str], out: Path, nodes: Nodes | None) -> None:
        start = time.monotonic()
        accidents = Accidents(nodes) if nodes else None
        if nodes:
            nodes.refill()
        if accidents:
            accidents.start()
        run(words)
        if accidents:
            accidents.stop()
        report = out / "run_report.json"
        units = json.loads(report.read_text())["units"] if report.is_file() else []
        self.stages.append(
            {
                "stage": name,
                **became(units),
                "workers killed": accidents.workers if accidents else 0,
                "nodes killed": accidents.nodes_killed if accidents else 0,
                "seconds": round(time.monotonic() - start, 1),
            }
        )


class Accidents(threading.Thread):
    """Kills a worker a few units into a stage, and then a node."""

    def __init__(self, nodes: Nodes) -> None:
        super().__init__(daemon=True)
        self._nodes, self._over = nodes, threading.Event()
        self.workers = self.nodes_killed = 0

    def run(self) -> None:
        """Wait for a worker, and strike."""
        if self._find_worker() is None or self._over.wait(5) or (worker := self._find_worker()) is None:
            return
        worker.send_signal(signal.SIGKILL)
        self.workers += 1
        if not self._over.wait(15):
            self._nodes.kill_one()
            self.nodes_killed += 1

    def stop(self) -> None:
        """Let it be."""
        self._over.set()
        self.join()

    def _find_worker(self) -> psutil.Process | None:
        """Return a worker at a unit, once there is one."""
        while not self._over.wait(0.2):
            for process in psutil.process_iter(["name", "cmdline"]):
                if any("ray::Doer.attempt" in part for part in process.info["cmdline"] or ()):
                    return process
        return None


def run(words: Sequence[str]) -> None:
    """Run a command of ours; it has to end well."""
    subprocess.run(
        [sys.executable, "-m", "miso", *words], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def became(units: Sequence[dict[str, Any]]) -> dict[str, object]:
    """Count what became of the units of a report."""
    return {
        "units": len(units),
        **{state: sum(unit["state"] == state for unit in units) for state in ("done", "skipped", "failed")},
        "begun again": sum(unit["attempts"] - 1 for unit in units),
    }


def compare(one: Path, other: Path, kinds: Mapping[str, str] = KINDS) -> dict[str, str]:
    """Count the results of each kind that are the same below two folders."""
    found = {}
    for kind, pattern in kinds.items():
        names = sorted(str(path.relative_to(one)) for path in one.glob(pattern))
        same = sum(digest(one / name) == digest(other / name) for name in names)
        found[kind] = f"{same} of {len(names)}"
    return found


def digest(path: Path) -> str:
    """Name what a result holds, without when and where it was made; "absent" where there is none."""
    if not path.exists():
        return "absent"
    content = hashlib.sha256()
    if path.suffix == ".zarr":
        group = zarr.open_group(path, mode="r")
        for name, array in sorted(group.arrays()):
            content.update(name.encode() + np.asarray(array[:]).tobytes())
    elif path.suffix == ".h5ad":
        adata = anndata.read_h5ad(path)
        values = adata.X if isinstance(adata.X, np.ndarray) else adata.X.toarray()
        for part in (values, *(adata.obsm[key] for key in sorted(adata.obsm))):
            content.update(np.ascontiguousarray(part).tobytes())
    elif path.suffix == ".safetensors":
        for name, tensor in sorted(load_file(path).items()):
            content.update(name.encode() + tensor.tobytes())
    else:
        content.update(path.read_bytes())
    return content.hexdigest()


def keep(
    title: str, file: Path, slides: int, stages: Sequence[dict[str, object]], compared: dict[str, str]
) -> None:
    """Write what came of a walk, and show it."""
    file.write_text(json.dumps({"slides": slides, "stages": stages, "equal": compared}, indent=1) + "\n")
    columns = list(stages[0])
    show_table(title, columns, [tuple(str(stage[column]) for column in columns) for stage in stages])
    show_table("equal to the undisturbed walk", ["results", "equal"], list(compared.items()))


if __name__ == "__main__":
    main()
