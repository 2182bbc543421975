"""Time and peak memory of each command of the main road on HER2ST C2–C5, as the README prints them.

Each command is a process of its own; its peak memory is what the operating system reports of it as it ends.

    .venv/bin/python benchmarks/real_run.py --data her2st-download --work work
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from miso.verbs.console import show_table
from real_sections import copy_of

COMMAND = """
import atexit, sys
from pathlib import Path
from memory import peak_mib
from miso.cli import main
out = Path(sys.argv.pop(1))
sys.argv[0] = "miso"
atexit.register(lambda: out.write_text(str(peak_mib())))
main()
"""
RESULTS = Path(__file__).parent / "results" / "real_run.json"


def road(data: Path, work: Path) -> dict[str, str]:
    """Return the README's commands, with this run's folders."""
    samples, teachers, students = data / "processed_data", work / "runs" / "c", work / "runs" / "c-distil"
    return {
        "process": f"process-her2st --path-dataset {data} --encoder stain",
        "train": f"train --config-name train_her2st cohort.path={samples} cohort.also=[ERBB2] "
        f"splits=leave_one_sample_out run_dir={teachers}",
        "label": f"generate-distillation-labels --config-name train_her2st cohort.path={samples} "
        f"run_dir={teachers}",
        "distil": f"train --config-name distil cohort.path={samples} run_dir={students}",
        "super-resolve": f"super-resolve {students} --slide {data}/images/HE/C5.jpg --genes ERBB2,FASN,KRT8 "
        f"--out {work}/maps/C5.zarr",
        "plot": f"plot {work}/maps/C5.zarr --gene KRT8 --out {work}/KRT8.png",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of HER2ST with sections C2 to C5")
    parser.add_argument("--work", type=Path, required=True, help="an empty folder for a copy and all results")
    args = parser.parse_args()
    if args.work.exists() and any(args.work.iterdir()):
        parser.error(
            f"{args.work} is not empty; finished stages would be skipped and their times mean nothing"
        )
    data = copy_of(args.data, args.work)
    figures = {stage: measure(command) for stage, command in road(data, args.work).items()}
    rows = [
        (stage, f"{f['wall_s']:.0f}", f"{f['cpu_s']:.0f}", f"{f['peak_mib']:.0f}")
        for stage, f in figures.items()
    ]
    show_table("HER2ST C2–C5, stain encoder", ["stage", "wall s", "CPU s", "peak MiB"], rows)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"cores": os.cpu_count(), "stages": figures}, indent=1) + "\n")


def measure(command: str) -> dict[str, float]:
    """Run one command of MISO; return its wall and CPU seconds and its peak memory in MiB."""
    start = time.monotonic()
    beside = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    with tempfile.NamedTemporaryFile("r", suffix=".json") as peak:
        words = [sys.executable, "-c", COMMAND, peak.name, *shlex.split(command)]
        process = subprocess.Popen(words, env=beside)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"miso {command} failed")
        peak_mib = json.load(peak)
    return {
        "wall_s": round(time.monotonic() - start, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(peak_mib, 1),
    }


if __name__ == "__main__":
    main()
