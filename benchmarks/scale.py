"""How time and memory grow with slide area, spots, sections and workers, and what 10,000 slides would take.

Each measurement is a process of its own. Rows are written as they are taken, and rows that are there are not
taken again: the same command goes on after an interruption. Exponents are fitted to the three largest sizes;
what is not as asked for says FAILS. Times need an idle machine: the load before each row is kept beside it.

    .venv/bin/python benchmarks/scale.py [--only area,spots,sections,workers,fleet] [--large]
    .venv/bin/python benchmarks/scale.py --tables
    .venv/bin/python benchmarks/scale.py --only fleet --assume tiles_per_s=800 --assume nodes=4
    .venv/bin/python benchmarks/scale.py --small --out small.json
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from growth.area import measure_area
from growth.extrapolate import assume, measure_fleet, newest_gpu
from growth.plan import DEFAULT, LARGE, SMALL
from growth.plot import draw
from growth.rows import Row, Rows
from growth.sections import measure_sections, report_child, train_child
from growth.spots import measure_spots, spots_child
from growth.tables import tables
from growth.workers import measure_workers
from miso.errors import MisoError

AXES = ("area", "spots", "sections", "workers", "fleet")
CHILDREN: dict[str, Callable[[dict[str, Any]], Row]] = {
    "spots": spots_child,
    "report": report_child,
    "train": train_child,
}
RESULTS = Path(__file__).parent / "results" / "scale.json"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "growth.png"
SEEDS, FEW = 200, 10


def main() -> None:
    args = arguments()
    if args.child:
        name, given = args.child
        sys.stdout.write(json.dumps(CHILDREN[name](json.loads(given))) + "\n")
        return
    rows = Rows(args.out, again=args.again)
    if not args.tables:
        try:
            measure(args, rows)
        except MisoError as err:
            sys.exit(str(err))
    for table in tables(rows):
        if args.tables:
            sys.stdout.write(table.markdown() + "\n")
        else:
            table.show()
    if args.picture:
        draw(rows, args.picture)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(AXES), help=f"of {', '.join(AXES)}")
    parser.add_argument("--small", action="store_true", help="seconds, for a test: says nothing of growth")
    parser.add_argument("--large", action="store_true", help="a map of 20,000² px too")
    parser.add_argument("--again", action="store_true", help="measure rows anew that are there")
    parser.add_argument("--tables", action="store_true", help="print what is there, as Markdown")
    parser.add_argument("--assume", action="append", default=[], metavar="NAME=VALUE", help="for the fleet")
    parser.add_argument("--gpu", type=Path, help="JSON of gpu.py; by default the newest of a GPU, if any")
    parser.add_argument("--work", type=Path, help="folder for temporary files, up to 5 GB")
    parser.add_argument("--out", type=Path, help=f"JSON of the figures; {RESULTS.name} by default")
    parser.add_argument("--picture", type=Path, help="where to draw; docs/images/growth.png by default")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.only.split(",")) - set(AXES):
        parser.error(f"--only {', '.join(sorted(unknown))}: of {', '.join(AXES)}")
    if args.small and not args.out:
        parser.error("--small says nothing of growth; name a file of its own with --out")
    if not args.out:
        args.out, args.picture = RESULTS, args.picture or (None if args.tables else PICTURE)
    return args


def measure(args: argparse.Namespace, rows: Rows) -> None:
    """Measure the axes that are asked for."""
    plan, axes = SMALL if args.small else LARGE if args.large else DEFAULT, args.only.split(",")
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        work = Path(folder)
        if "area" in axes:
            measure_area(plan, rows, work)
        if "spots" in axes:
            measure_spots(plan, rows)
        if "sections" in axes:
            measure_sections(plan, rows, work)
        if "workers" in axes:
            measure_workers(plan, rows, work)
    if "fleet" in axes:
        given = assume(args.assume, args.gpu or newest_gpu(RESULTS.parent))
        measure_fleet(given, rows, FEW if args.small else SEEDS)


if __name__ == "__main__":
    main()
