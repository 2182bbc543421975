"""Time and peak memory of training on cohorts that are much larger than what is held of them in memory.

Samples are written to a temporary folder: random features, counts of which a part follows from them. Each
training is a process of its own, with a fixed amount of sections held in memory: peak memory must not grow
with their number. `line` is the default model without its networks, `networks` trains these for a few epochs,
`baselines` are those of every run.

    .venv/bin/python benchmarks/large_cohort.py [--sections 8 32] [--spots 2000] [--genes 2000] [--wide 18000]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix

from memory import peak_mib
from miso.samples import Spots, open_cohort
from miso.samples.neighbors import nearest_spots
from miso.samples.write import annotate, finish_sample, make_manifest
from miso.training import sections as reading
from miso.training.baselines import fit_baselines
from miso.training.sections import Held, Sections
from miso.training.teacher import RECIPES, fit_teacher
from miso.verbs.console import number, show_table

PITCH_UM, STAIN_DIMS, KNN = 100.0, 132, 37
RESULTS = Path(__file__).parent / "results" / "large_cohort.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sections", type=int, nargs="+", default=[8, 32], help="sections trained on")
    parser.add_argument("--spots", type=int, default=2000)
    parser.add_argument("--dims", type=int, default=768)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--wide", type=int, default=18_000, help="genes of a last row; 0 leaves it out")
    parser.add_argument("--held-mib", type=float, default=100, help="sections held in memory")
    parser.add_argument("--epochs", type=int, default=3, help="of the networks")
    parser.add_argument("--work", type=Path, help="where Samples are written; a temporary folder by default")
    parser.add_argument("--out", type=Path, help=f"JSON of the figures, such as {RESULTS.name}")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args, *args.child)
        return
    found = []
    for n, genes in [*((n, args.genes) for n in args.sections), (min(args.sections), args.wide)]:
        if not genes:
            continue
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            for index in range(n + 1):
                write_sample(Path(folder), index, args.spots, args.dims, genes)
            whats = ["line", "networks", "baselines"] if genes == args.genes else ["line", "networks"]
            found += [measure(args, what, Path(folder), n, genes) for what in whats]
    show_table(
        f"training on sections of {args.spots:,} spots × {args.dims} features, {args.held_mib:.0f} MiB held",
        ["sections", "genes", "", "wall s", "CPU s", "read", "cohort MiB", "peak MiB"],
        [
            (
                str(row["sections"]),
                f"{row['genes']:,}",
                str(row["what"]),
                *(
                    number(float(row[key]), 0)
                    for key in ("wall_s", "cpu_s", "read", "cohort_mib", "peak_mib")
                ),
            )
            for row in found
        ],
    )
    if args.out:
        about = {"cores": len(os.sched_getaffinity(0)), "spots": args.spots, "dims": args.dims}
        args.out.write_text(json.dumps({**about, "epochs": args.epochs, "rows": found}, indent=1) + "\n")


def write_sample(folder: Path, index: int, spots: int, dims: int, genes: int) -> None:
    """Write a Sample; sixteen features carry eight programs, which every gene is a mixture of."""
    rng, shared = np.random.default_rng([index, genes]), np.random.default_rng(genes)
    features = rng.standard_normal((spots, dims), dtype=np.float32)
    slopes = shared.standard_normal((16, 8)) @ shared.standard_normal((8, genes)) * 0.05
    rate = np.exp(features[:, :16] @ slopes.astype(np.float32) + shared.normal(-0.5, 1, genes)).clip(max=50)
    side = int(np.ceil(spots**0.5))
    array = np.stack(np.divmod(np.arange(spots), side), axis=1).astype(float)
    made = Spots(
        barcodes=[f"spot{i}" for i in range(spots)],
        center_xy=array * PITCH_UM,
        array_xy=array,
        diameter_um=55.0,
        pitch_um=PITCH_UM,
        counts=csr_matrix(rng.poisson(rate).astype(np.float32)),
        genes=[f"G{i}" for i in range(genes)],
    )
    name = f"S{index}"
    settings = {"encoder": "random@1", "patch_px": 16, "tile": {"size_px": 224, "mpp": 0.5}, "inputs": {}}
    about = {
        "name": name,
        "patient": name,
        "settings": settings,
        "resolution": {"mpp": 1.0, "source": "made"},
    }
    manifest = make_manifest(made, about)
    tables = {"tile_features": features, "stain_features": features[:, :STAIN_DIMS].copy()}
    partial = folder / f".{name}.partial"
    partial.mkdir()
    adata = annotate(made, tables, nearest_spots(made.center_xy, KNN), manifest)
    adata.write_h5ad(partial / "adata.h5ad")
    finish_sample(partial, folder / name, manifest)


def measure(
    args: argparse.Namespace, what: str, folder: Path, sections: int, genes: int
) -> dict[str, float | str]:
    """Train in a process of its own."""
    options = {"--held-mib": args.held_mib, "--epochs": args.epochs}
    words = [str(word) for pair in options.items() for word in pair]
    run = [sys.executable, __file__, *words, "--child", what, str(folder)]
    shown = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {"sections": sections, "genes": genes, "what": what, **json.loads(shown.splitlines()[-1])}


def child(args: argparse.Namespace, what: str, folder: str) -> None:
    """Train on all sections of a folder but one, which validates."""
    cohort, read = open_cohort(folder, target="log1p_cp10k"), 0
    load = reading.load_section

    def counted(*given: object, **keys: object) -> reading.Section:
        nonlocal read
        read += 1
        return load(*given, **keys)  # type: ignore[arg-type]

    reading.load_section = counted
    held = Held(int(args.held_mib * 2**20))
    every = Sections(cohort, list(cohort.samples), KNN, torch.device("cpu"), held=held)
    start, cpu = time.perf_counter(), time.process_time()
    if what == "baselines":
        fit_baselines(every[:-1], every[-1:], seed=0)
    else:
        epochs = args.epochs if what == "networks" else 0
        fit_teacher(every[:-1], every[-1:], replace(RECIPES["default"], max_epochs=epochs), seed=0)
    figures = {
        "wall_s": round(time.perf_counter() - start, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "read": read,
        "peak_mib": round(peak_mib(), 1),
        "cohort_mib": round(sum(section.n_bytes for section in every) / 2**20, 1),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
