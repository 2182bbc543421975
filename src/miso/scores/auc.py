"""How well a prediction tells spots with more molecules of a gene from the others: 0 to 1, chance is 1/2."""

import numpy as np

from miso.scores.by_gene import ByGene, by_gene
from miso.scores.columns import Block, PerGene, quotient, varies
from miso.scores.ranks import ranks


def auc_above(threshold: int) -> ByGene:
    """Return the area under the ROC curve for "more than `threshold` molecules were counted".

    The measured side is counts, whatever the target of the prediction. NaN where all spots are of one class.
    A prediction that does not vary scores one half, as its ties do.
    """

    @by_gene
    def auc(predicted: Block, counts: Block) -> PerGene:
        above = counts.columns > threshold
        n_above = above.sum(axis=0).astype(np.float64)
        pairs = n_above * (len(above) - n_above)
        total = (predicted.of(ranks) * above).sum(axis=0, dtype=np.float64)
        wins = np.where(predicted.of(varies), total - n_above * (n_above + 1) / 2, pairs / 2)
        return quotient(wins, pairs, pairs > 0)

    return auc
