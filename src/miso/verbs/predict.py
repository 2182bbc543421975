"""`miso predict`: expression of the spots of Samples."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import console

NAME = "predict"


def command(
    run: Annotated[
        Path, typer.Argument(help="A run, one of its folds, a checkpoint, a bundle, or hf:owner/model.")
    ],
    samples: Annotated[list[Path], typer.Argument(help="Sample folders.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for one .h5ad a sample.")],
    in_sample: Annotated[
        bool, typer.Option("--in-sample", help="Let folds speak of a section that they were trained on.")
    ] = False,
) -> None:
    """Predict the spots of Samples with a run (the mean over its folds), one .h5ad each.

    A Sample of the run's own cohort is predicted by the folds that held it out. `var` says how far each gene
    can be trusted: its cross-validated r (`r_cv`) and the `grade` that follows.

    Example: `miso predict runs/c her2st/processed_data/C5 --out predictions`
    """
    from miso.maps import load
    from miso.samples import open_sample
    from miso.storage import write_path

    predictor = load(run)
    for path in samples:
        sample = open_sample(path)
        with write_path(out / f"{sample.name}.h5ad") as temporary:
            predictor.predict(sample, in_sample=in_sample).write_h5ad(temporary)
        console.tell(
            f"{sample.name}: {len(predictor.genes)} genes, {predictor.units} → {out / f'{sample.name}.h5ad'}"
        )
