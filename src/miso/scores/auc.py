"""How well a prediction tells spots with more molecules of a gene from the others: 0 to 1, chance is 1/2."""

import numpy as np
from scipy.stats import rankdata

from miso.scores.columns import Columns, PerGene, Score, by_gene, quotient, varies


def auc_above(threshold: int) -> Score:
    """Return the area under the ROC curve for "more than `threshold` molecules were counted".

    The measured side is counts, whatever the target of the prediction. NaN where all spots are of one class.
    A prediction that does not vary scores one half, as its ties do.
    """

    @by_gene
    def auc(predicted: Columns, counts: Columns) -> PerGene:
        ranks = rankdata(np.where(varies(predicted), predicted, 0.0), axis=0)
        above = counts > threshold
        n_above = above.sum(axis=0).astype(np.float64)
        pairs = n_above * (len(above) - n_above)
        wins = np.where(above, ranks, 0.0).sum(axis=0) - n_above * (n_above + 1) / 2
        return quotient(wins, pairs, pairs > 0)

    return auc
