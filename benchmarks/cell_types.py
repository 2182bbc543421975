"""Predicting cell-type proportions instead of genes, on the phantom: an example of a table as a target.

Writes a phantom cohort, makes it into Samples, adds to each a table of the share of every kind of cell under
each spot (known here; deconvolution gives it on real data), trains on it, and prints r by kind of cell on
patients held out, beside the baselines.

    .venv/bin/python benchmarks/cell_types.py --work work
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from miso.phantom import PhantomSpec, open_truth, write_her2st
from miso.phantom.cells import KINDS
from miso.phantom.expression import spot_shares
from miso.samples import Sample, open_cohort
from miso.samples.tables import add_table
from miso.training import CohortConfig, TrainConfig, train
from miso.training.table import per_gene
from miso.verbs._process_batch import process_her2st_folder
from miso.verbs._process_options import ProcessOptions
from miso.verbs.console import number, show_table, tell, track

NAME, UNITS = "cell_types", "share of cells"
SHOWN = ("miso", "ridge+neighbours", "stain+ridge", "coordinates", "permutation")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the cohort and the run")
    parser.add_argument("--size-um", type=float, default=2200.0, help="side of a section")
    args = parser.parse_args()
    spec = PhantomSpec(n_patients=4, n_sections=2, size_um=args.size_um, n_folds=4)
    phantom = write_her2st(spec, args.work / "phantom")
    process_her2st_folder(phantom, [], ProcessOptions(encoder="stain", device="cpu"))
    for sample in open_cohort(phantom / "processed_data").samples.values():
        add_table(sample, NAME, proportions(phantom, sample), UNITS)
    run = args.work / "run"
    config = TrainConfig(
        cohort=CohortConfig(path=str(phantom / "processed_data")),
        splits=str(phantom / "splits.json"),
        target=NAME,
        run_dir=str(run),
    )
    train(config, tell, track)
    table = per_gene(pd.read_parquet(run / "metrics.parquet"))
    show_table(
        "share of each kind of cell under a spot: r on held-out patients",
        ["cells", *SHOWN],
        [(str(kind), *(number(row[model], 3) for model in SHOWN)) for kind, row in table.iterrows()],
    )


def proportions(phantom: Path, sample: Sample) -> pd.DataFrame:
    """Share of each kind of cell among all under each spot of a section."""
    truth = open_truth(phantom / "truth" / f"{sample.name}.npz")
    diameter_px = sample.spot_diameter_um / truth.mpp
    shares = spot_shares(truth.raster, sample.adata.obsm["spatial"], diameter_px, "disc")
    amounts = shares @ np.stack([truth.program(name).ravel() for name in KINDS], axis=1)
    total = np.maximum(amounts.sum(axis=1, keepdims=True), 1e-9)
    return pd.DataFrame(amounts / total, index=sample.adata.obs_names, columns=list(KINDS))


if __name__ == "__main__":
    main()
