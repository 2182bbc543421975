"""Time and peak memory of `miso super-resolve` on slides of growing area, of dense tissue to the last pixel.

The slides are mirrored from the densest 2,500 px of the HER2ST sections, as in `pyramids.py`, at 0.5 µm/px,
and mapped with a run of students: the first 50 of its genes on each size, and all on the largest.

    .venv/bin/python benchmarks/whole_slide.py RUN --data her2st-download --work work
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import zarr

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
    parser.add_argument("--passes", type=int, default=2)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    crop, genes, rows = (
        dense_crop(sorted((args.data / "images" / "HE").glob("*.jpg"))),
        load(args.run).genes,
        [],
    )
    for side in args.sides:
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            flat = mirrored(crop, Path(folder) / "flat.tif", (side, side), SOURCES["strips"])
            slide, out = Path(folder) / "slide.tif", Path(folder) / "map.zarr"
            with open_slide(flat, MPP) as opened:
                write_pyramid(opened, slide)
            flat.unlink()
            for wanted in (genes[:GENES], genes) if side == max(args.sides) else (genes[:GENES],):
                command = (
                    f"super-resolve {args.run} --slide {slide} --mpp {MPP} --genes {','.join(wanted)} "
                    f"--passes {args.passes} --out {out}"
                )
                figures = measure(command)
                size_mb = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 1e6
                cells = open_map(out).raster.shape
                row = {
                    "side_px": side,
                    "genes": len(wanted),
                    "cells": cells,
                    **figures,
                    "map_mb": round(size_mb),
                }
                rows.append(row)
                tell(json.dumps(row))
                shutil.rmtree(out)
    show_table(
        f"super-resolve, {args.passes} passes",
        ["side, px", "genes", "cells", "wall s", "CPU s", "peak MiB", "map MB"],
        [
            (
                f"{r['side_px']:,}",
                str(r["genes"]),
                "{} × {}".format(*r["cells"]),
                f"{r['wall_s']:.0f}",
                f"{r['cpu_s']:.0f}",
                f"{r['peak_mib']:.0f}",
                f"{r['map_mb']:.0f}",
            )
            for r in rows
        ],
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"cores": os.cpu_count(), "zarr": zarr.__version__, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
