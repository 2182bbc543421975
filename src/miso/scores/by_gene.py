"""How scores are taken gene by gene: block after block, what cannot be scored left NaN."""

from collections.abc import Callable, Mapping
from functools import update_wrapper

import numpy as np

from miso.errors import MisoError
from miso.scores.columns import Block, Measured, PerGene, Spots

OfBlock = Callable[[Block, Block], PerGene]
Score = Callable[[Spots, Spots], PerGene]


class ByGene:
    """A score of two blocks, predicted and measured, made into one of any number of genes.

    Spots that were not measured at all (NaN in every gene) are left out. Of the others, a gene with a value
    that is not finite on either side is NaN, and so is every gene where there is no spot.
    """

    def __init__(self, of_block: OfBlock) -> None:
        self.of_block = of_block
        update_wrapper(self, of_block)

    def __call__(self, predicted: Spots, measured: Spots | Measured) -> PerGene:
        """Score a prediction.

        Raises
        ------
        MisoError
            If the two sides differ in shape.
        """
        return score_together(predicted, {"": measured}, {"": ("", self)})[""]


def score_together(
    predicted: Spots, sides: Mapping[str, Spots | Measured], scores: Mapping[str, tuple[str, ByGene]]
) -> dict[str, PerGene]:
    """Take several scores of a prediction in one pass over its genes.

    What several of them ask of a side, such as its ranks, is found once; what is found of a `Measured` is
    there for the next prediction, too.

    Parameters
    ----------
    sides
        What is scored against, by name.
    scores
        By name, each with the name of the side that it is scored against.

    Raises
    ------
    MisoError
        If the sides differ in shape.
    """
    p = np.asarray(predicted)
    measured = {name: _measured(p, side) for name, side in sides.items()}
    result = {name: np.full(p.shape[1], np.nan) for name in scores}
    for alike in _of_the_same_spots(measured):
        first = next(iter(alike.values()))
        taken = {name: (side, score) for name, (side, score) in scores.items() if side in alike}
        for genes in first.blocks():
            block = Block(first.rows(p[:, genes]))
            known = {side: whole.block(genes) for side, whole in alike.items()}
            for name, (side, score) in taken.items():
                usable = block.finite & known[side].finite
                result[name][genes] = np.where(usable, score.of_block(block, known[side]), np.nan)
    return result


def _of_the_same_spots(sides: Mapping[str, Measured]) -> list[dict[str, Measured]]:
    """Put sides together that are of the same spots: a prediction is ranked once for all of them."""
    groups: dict[bytes, dict[str, Measured]] = {}
    for name, side in sides.items():
        groups.setdefault(side.spots.tobytes(), {})[name] = side
    return list(groups.values())


def _measured(p: Spots, side: Spots | Measured) -> Measured:
    shape = (side.values if isinstance(side, Measured) else np.asarray(side)).shape
    if p.ndim != 2 or p.shape != shape:
        raise MisoError(
            f"a prediction of shape {p.shape} cannot be scored against a measurement of shape {shape}; "
            "both are spots × genes, of the same spots and genes"
        )
    return Measured.of(side)


def by_gene(of_block: OfBlock) -> ByGene:
    """Make a score of blocks into one of any number of genes."""
    return ByGene(of_block)
