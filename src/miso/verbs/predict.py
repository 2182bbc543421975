"""`miso predict`: expression of the spots of Samples."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import _options, console

NAME = "predict"


def command(
    run: Annotated[
        str, typer.Argument(help="A run, one of its folds, a checkpoint, a bundle, or hf:owner/model.")
    ],
    samples: Annotated[list[str], typer.Argument(help="Sample folders.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for one .h5ad a sample.")],
    in_sample: Annotated[
        bool, typer.Option("--in-sample", help="Let folds speak of a section that they were trained on.")
    ] = False,
    cache: _options.Cache = None,
) -> None:
    """Predict the spots of Samples with a run (the mean over its folds), one .h5ad each.

    A Sample of the run's own cohort is predicted by the folds that held it out. `var` says how far each gene
    can be trusted: its cross-validated r (`r_cv`) and the `grade` that follows. Run and Samples may be URLs.

    Example: `miso predict runs/c her2st/processed_data/C5 --out predictions`
    """
    from miso.maps import load
    from miso.samples import open_sample
    from miso.storage import write_path
    from miso.storage.fetched import cache_folder, fetch
    from miso.verbs._fetched_run import fetched_run

    copies = cache_folder(cache)
    predictor = load(fetched_run(run, copies))
    for place in samples:
        sample = open_sample(fetch(place, copies))
        with write_path(out / f"{sample.name}.h5ad") as temporary:
            predictor.predict(sample, in_sample=in_sample).write_h5ad(temporary)
        console.tell(
            f"{sample.name}: {len(predictor.genes)} genes, {predictor.units} → {out / f'{sample.name}.h5ad'}"
        )
