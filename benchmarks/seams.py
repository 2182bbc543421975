"""What it costs not to see the tiles of a map, and what of it helps to see what lies below the spot.

Maps a section of the phantom with a student that never saw it, with windows laid in every way that
`miso super-resolve` offers, and prints for each: its cost (processor time of its windows through reader,
encoder and student, against that of tiles side by side), the seam index (`miso.scores.seams`; 1 shows no
seam), and r with the noiseless truth, over all tissue and within spots (each spot's mean taken off). Means
over visible genes.

    .venv/bin/python benchmarks/seams.py miso-demo
    .venv/bin/python benchmarks/seams.py miso-demo --encoder hf:folder --out-folder FOLDER

The folder holds what `miso demo` made. With an `--encoder` the same sections are processed and learnt anew
with it, in `--out-folder`, unless that holds such runs. By default the first section that validates is
mapped: the choice among these ways may not be made on a test section.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from miso.geometry import TileGrid
from miso.maps import ExpressionMap, load
from miso.maps.seams import Seams, lay_windows
from miso.maps.super_resolve import super_resolve
from miso.phantom import Truth, open_truth
from miso.phantom.score import cells_under_spots, within_spot_r
from miso.samples import Sample, open_cohort, open_sample
from miso.scores.seams import seam_index
from miso.slides import open_slide
from miso.training import CohortConfig, TrainConfig, train
from miso.training.distill import generate_labels
from miso.verbs._process_batch import process_her2st_folder
from miso.verbs._process_options import ProcessOptions
from miso.verbs.console import number, show_table, tell, track

RESULTS = Path(__file__).parent / "results" / "seams.json"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of laying windows."""

    name: str
    seams: Seams
    stride_px: int | None = None
    passes: int | None = None


WAYS = (
    Way(name="tiles side by side", seams="none"),
    Way(name="shifted, 2 passes", seams="shifted", passes=2),
    Way(name="shifted, 4 passes", seams="shifted", passes=4),
    Way(name="shifted, 16 passes", seams="shifted", passes=16),
    Way(name="overlap, stride 112", seams="overlap", stride_px=112),
    Way(name="overlap, stride 56", seams="overlap", stride_px=56),
    Way(name="wide, 1 pass", seams="wide", passes=1),
    Way(name="wide, 2 passes", seams="wide", passes=2),
    Way(name="wide, 4 passes", seams="wide", passes=4),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, help="a folder of `miso demo`")
    parser.add_argument("--encoder", default="stain")
    parser.add_argument("--out-folder", type=Path, help="where the runs of another encoder are kept")
    parser.add_argument("--section", help="instead of the first that validates")
    parser.add_argument("--only", action="append", choices=[way.name for way in WAYS])
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    folder = args.demo if args.encoder == "stain" else learnt(args.demo, args.out_folder, args.encoder)
    ways = [way for way in WAYS if way.name in (args.only or [w.name for w in WAYS])]
    rows, encoder = json.loads(args.out.read_text()) if args.out.exists() else [], Path(args.encoder).name
    rows = [row for row in rows if row["encoder"] != encoder or row["way"] not in {w.name for w in ways}]
    for row in study(folder, args.section, ways):
        rows.append({"encoder": encoder, **row})
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(rows, indent=1) + "\n")
    show(rows)


def learnt(demo: Path, folder: Path, encoder: str) -> Path:
    """Process the demo's sections with another encoder, and train a teacher and a student on them."""
    if (folder / "runs" / "patch" / "summary.json").is_file():
        return folder
    if not (folder / "phantom").exists():
        ignore = shutil.ignore_patterns("processed_data")
        shutil.copytree(demo / "phantom", folder / "phantom", ignore=ignore)
    samples = folder / "phantom" / "processed_data"
    process_her2st_folder(folder / "phantom", [], ProcessOptions(encoder=encoder, device="cpu"))
    panel = folder / "genes.txt"
    panel.write_text("\n".join(next(iter(open_cohort(samples).samples.values())).adata.var_names))
    cohort = CohortConfig(path=str(samples), genes=str(panel))
    teacher = TrainConfig(
        cohort=cohort, splits=str(folder / "phantom" / "splits.json"), run_dir=str(folder / "runs" / "miso")
    )
    train(teacher, tell, track)
    generate_labels(teacher, open_cohort(samples), track)
    train(
        TrainConfig(
            model="patch", cohort=CohortConfig(path=str(samples)), run_dir=str(folder / "runs" / "patch")
        ),
        tell,
        track,
    )
    return folder


def study(folder: Path, section: str | None, ways: Sequence[Way]) -> Iterator[dict[str, Any]]:
    """Map one section in every way."""
    students = load(folder / "runs" / "patch")
    sample = open_sample(folder / "phantom" / "processed_data" / (section or students.first.validated_on[0]))
    truth = open_truth(folder / "phantom" / "truth" / f"{sample.name}.npz")
    genes = [g for g, seen in zip(truth.genes, truth.visible, strict=True) if seen and g in students.genes]
    encoder, first = students.load_encoder(), None
    image = next((folder / "phantom" / "images" / "HE").rglob(f"{sample.name}.*"))
    for way in ways:
        clock = Clock()
        with tempfile.TemporaryDirectory() as out, open_slide(image, sample.mpp) as slide:
            made = super_resolve(
                slide,
                encoder,
                students,
                Path(out) / "map.zarr",
                tile=students.tile,
                seams=way.seams,
                stride_px=way.stride_px,
                passes=way.passes,
                genes=genes,
                std=False,
                track=clock,
            )
            first = first or clock.seconds
            windows = lay_windows(encoder, students.tile, way.seams, way.stride_px, way.passes)
            grid = windows.grid(slide, encoder.patch_px)
            row = {
                "section": sample.name,
                "way": way.name,
                "cost": round(clock.seconds / first, 2),
                **scores(made, grid, truth, sample),
            }
        tell(json.dumps(row))
        yield row


class Clock:
    """Measures the processor's time for the windows of a map, without the look over the slide."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, iterable: Iterable[T], total: int, description: str) -> Iterable[T]:
        """Pass items through."""
        began = time.process_time()
        yield from iterable
        if description == "super-resolve":
            self.seconds = time.process_time() - began


def scores(made: ExpressionMap, grid: TileGrid, truth: Truth, sample: Sample) -> dict[str, float]:
    """Seam index, and r with the truth over tissue and within spots; means over genes."""
    cells = grid.first_cells()
    rows, cols = ({*first, *(first + grid.side)} for first in cells.T)
    under = cells_under_spots(
        truth.raster, sample.adata.obsm["spatial"], sample.spot_diameter_um / sample.mpp
    )
    figures = []
    for gene in made:
        plane = np.where(truth.tissue > 0.5, made.over(truth.raster, gene), np.float32(np.nan))
        seen = np.isfinite(plane)
        figures.append(
            (
                seam_index(made[gene], rows, cols, grid.patches.patch_px // grid.cell_px),
                float(np.corrcoef(plane[seen], truth[gene][seen])[0, 1]),
                within_spot_r(plane, truth[gene], under),
            )
        )
    seam, over_tissue, within = np.nanmean(figures, axis=0)
    return {"seam_index": float(seam), "over_tissue": float(over_tissue), "within_spots": float(within)}


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table for each encoder."""
    for encoder in dict.fromkeys(row["encoder"] for row in rows):
        own = [row for row in rows if row["encoder"] == encoder]
        show_table(
            f"section {own[0]['section']}, encoder {encoder}",
            ["windows", "cost", "seam index", "r over tissue", "within spots"],
            [
                (
                    row["way"],
                    f"{row['cost']:.1f}",
                    f"{row['seam_index']:.2f}",
                    number(row["over_tissue"]),
                    number(row["within_spots"]),
                )
                for row in own
            ],
        )


if __name__ == "__main__":
    main()
