"""Time and peak memory of `miso super-resolve` on slides of growing area, of dense tissue to the last pixel.

The slides are mirrored from the densest 2,500 px of the HER2ST sections, as in `pyramids.py`, at 0.5 µm/px,
and mapped with the first 50 genes of a run of students; `--genes` takes more.

    .venv/bin/python benchmarks/whole_slide.py RUN --data her2st-download --work work
    .venv/bin/python benchmarks/whole_slide.py RUN --data her2st-download --work work --sides 5000 --genes 785
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miso.maps import load, open_map
from miso.slides import open_slide
from miso.slides.rewrite import write_pyramid
from miso.verbs.console import show_table, tell
from pyramids import SOURCES, dense_crop, mirrored
from real_run import measure

SIDES_PX = (5_000, 10_000, 20_000)
MPP, GENES = 0.5, 50
RESULTS = Path(__file__).parent / "results" / "whole_slide.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run of students")
    parser.add_argument("--data", type=Path, required=True, help="folder of HER2ST with sections C2 to C5")
    parser.add_argument("--work", type=Path, required=True, help="folder for temporary files, up to 10 GB")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES_PX, help="in px")
    parser.add_argument("--genes", type=int, default=GENES, help="how many of the run's genes")
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS, help="rows of other sizes there are kept")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    crop = dense_crop(sorted((args.data / "images" / "HE").glob("*.jpg")))
    genes = load(args.run).genes[: args.genes]
    for side in args.sides:
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            slide, out = slide_of(crop, side, Path(folder)), Path(folder) / "map.zarr"
            figures = measure(
                f"super-resolve {args.run} --slide {slide} --mpp {MPP} --genes {','.join(genes)} "
                f"--passes {args.passes} --out {out}"
            )
            size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
            row = {
                "side_px": side,
                "genes": len(genes),
                "passes": args.passes,
                "cells": open_map(out).raster.shape,
                **figures,
                "map_mb": round(size / 1e6),
            }
        tell(json.dumps(row))
        keep(row, args.out)
    show(json.loads(args.out.read_text())["rows"])


def slide_of(crop: NDArray[np.uint8], side: int, folder: Path) -> Path:
    """Write a square slide, a pyramid as `miso rewrite-slide` makes it."""
    flat, slide = mirrored(crop, folder / "flat.tif", (side, side), SOURCES["strips"]), folder / "slide.tif"
    with open_slide(flat, MPP) as opened:
        write_pyramid(opened, slide)
    flat.unlink()
    return slide


def keep(row: dict[str, Any], out: Path) -> None:
    """Put a row among those of other sizes."""
    rows = json.loads(out.read_text())["rows"] if out.exists() else []
    what = ("side_px", "genes", "passes")
    rows = [other for other in rows if [other[key] for key in what] != [row[key] for key in what]] + [row]
    out.parent.mkdir(exist_ok=True)
    rows.sort(key=lambda each: [each[key] for key in ("genes", "side_px", "passes")])
    out.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=1) + "\n")


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table."""
    show_table(
        "super-resolve",
        ["side, px", "genes", "passes", "cells", "wall s", "CPU s", "peak MiB", "map MB"],
        [
            (
                f"{row['side_px']:,}",
                str(row["genes"]),
                str(row["passes"]),
                "{} × {}".format(*row["cells"]),
                f"{row['wall_s']:.0f}",
                f"{row['cpu_s']:.0f}",
                f"{row['peak_mib']:.0f}",
                f"{row['map_mb']:.0f}",
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
