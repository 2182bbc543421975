"""Extraction, a training step, super-resolution and whole slides on a device, each against two floors.

The floors are the arithmetic that is needed over the rate of a large product of matrices, and the bytes that
have to move over the rate of a large copy, both measured here; see `growth/arithmetic.py`. The encoder is a
ViT-B/16 with random weights, slides are mirrored phantom tissue. Times are medians over rounds after one that
is not counted; maps and slides are taken once. Rows are written as they are taken, and those that are there
are not taken again.

    .venv/bin/python benchmarks/gpu.py [--device cuda]
    .venv/bin/python benchmarks/gpu.py --device cpu --small --out somewhere
"""

import argparse
import re
import tempfile
from pathlib import Path

import torch

from growth.device import AXIS, COPY, ON_CPU, ON_GPU, PRODUCT, READ, SMALL, Bench
from growth.rows import Row, Rows, machine
from miso.training.device import choose_device
from miso.verbs.console import number, show_table

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    args = arguments()
    device = choose_device(args.device)
    about = described(device)
    rows = Rows(args.out / f"gpu_{slug(str(about['device']))}.json", again=args.again, about=about)
    sizes = SMALL if args.small else ON_CPU if device.type == "cpu" else ON_GPU
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        bench = Bench(sizes, device, rows, Path(folder))
        bench.floors()
        bench.encoding()
        bench.training()
        bench.mapping()
    show(rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--small", action="store_true", help="seconds, for a test: says nothing of speed")
    parser.add_argument("--again", action="store_true", help="measure rows anew that are there")
    parser.add_argument("--work", type=Path, help="folder for temporary files, up to 4 GB")
    parser.add_argument("--out", type=Path, help="folder for gpu_DEVICE.json; benchmarks/results by default")
    args = parser.parse_args()
    if args.small and not args.out:
        parser.error("--small says nothing of speed; name a folder of its own with --out")
    args.out = args.out or RESULTS
    return args


def described(device: torch.device) -> Row:
    """Say what the figures are taken on."""
    about = machine()
    cpu = f"CPU {about['cpu_capability']} {about['cores']} cores"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return {"device": name, "device_type": device.type, **about}


def slug(name: str) -> str:
    """Write a device's name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def show(rows: Rows) -> None:
    """Print what the device reached, and every work against its floors."""
    works = [row for row in rows.having(AXIS) if "times_floor" in row]
    reached = {row["what"]: row for row in rows.having(AXIS)}
    device, read = rows.machine["device"], float(reached[READ]["tiles_per_s"])
    rate, speed = float(reached[PRODUCT]["tflop_per_s"]), float(reached[COPY]["gb_per_s"])
    show_table(
        f"{device}: {rate:.3g} TFLOP/s in a product ({reached[PRODUCT]['sizes']}), "
        f"{speed:.3g} GB/s in a copy, {read:.0f} tiles/s read by one thread",
        ["", "n", "s", "a second", "floor: arithmetic s", "bytes s", "× floor", "bound by"],
        [
            (
                str(row["what"]),
                f"{float(row['n']):,.0f}",
                f"{float(row['wall_s']):.3g}",
                rate_of(row),
                f"{float(row['arithmetic_floor_s']):.2g}",
                f"{float(row['bytes_floor_s']):.2g}",
                number(float(row["times_floor"]), 1),
                str(row["bound"]),
            )
            for row in works
        ],
    )


def rate_of(row: Row) -> str:
    """Word how much is done a second, or an hour."""
    words = {"slides_per_h": "slides/h", "tiles_per_s": "tiles", "spots_per_s": "spots"}
    key = next(key for key in words if key in row)
    cells = f", {float(row['cells_per_s']):,.3g} cells" if "cells_per_s" in row else ""
    return f"{float(row[key]):,.3g} {words[key]}{cells}"


if __name__ == "__main__":
    main()
