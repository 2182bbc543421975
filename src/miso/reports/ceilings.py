"""Noise ceilings of a board: the r of a perfect predictor, by gene and held-out section, 0 to 1."""

import pandas as pd

from miso.errors import MisoError
from miso.reports.boards import Board
from miso.reports.gene_sets import total_counts
from miso.samples.targets import dense_counts
from miso.scores.ceiling import noise_ceiling

NAME = "noise ceiling"


def ceilings(board: Board, *, draws: int = 10, seed: int = 0) -> pd.DataFrame:
    """Return tidy rows (repeat 0, fold, sample, patient, model "noise ceiling", gene, target, metric, value).

    The metric is `pearson`, so that the rows stand beside those of `Board.values`.

    Raises
    ------
    MisoError
        If the target is no transform of counts, or the Samples hold no whole ones: nothing can be split.
    """
    transform = board.target.transform
    if transform is None:
        raise MisoError(f"the target {board.target.name!r} is no transform of counts, which could be split")
    parts = []
    for fold, parts_of_fold in enumerate(board.folds):
        for name in parts_of_fold["test"]:
            sample = board.samples[name]
            counts = dense_counts(sample.adata, board.genes)
            try:
                value = noise_ceiling(counts, total_counts(sample), transform, draws=draws, seed=seed)
            except MisoError as err:
                raise MisoError(f"sample {name!r}: {err}") from err
            rows = pd.DataFrame({"gene": board.genes, "value": value})
            parts.append(rows.assign(repeat=0, fold=fold, sample=name, patient=sample.patient))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(model=NAME, target=board.target.name, metric="pearson")[list(board.values.columns)]
