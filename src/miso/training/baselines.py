"""What every result stands beside: ridge on simple inputs, an oracle of depth, and a permutation floor."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from miso.models.miso import standardized
from miso.models.ridge import Linear, Moments
from miso.models.surroundings import neighbor_mean
from miso.training.levels import levels_of
from miso.training.linear import Inputs, fit_ridge, fit_ridges
from miso.training.sections import Section

Values = Float[NDArray[np.float32], "spot gene"]
Predict = Callable[[Section], Values]
PCA_DIMS = 256
"""Components that are kept; of fewer than 512 features, half."""
DRAWS = 10
"""Shuffles behind the permutation floor; a single one lies well off 0 by chance, of few genes."""
SHUFFLED = 10_000
"""Genes that are shuffled in all of these draws: of many genes one is enough."""
CONTEXT = 25

BASELINES = {
    "stain+ridge": "ridge on the stain encoder's tile features",
    "pca+ridge": "ridge on 256 principal components of the encoder's tile features",
    "ridge+neighbours": "ridge on the encoder's tile features and the mean over the 25 nearest spots",
    "coordinates": "ridge on a quadratic of the position on the section; no image",
    "total-count": "ridge on the test section's own total counts: an oracle of depth, not a predictor",
    "mean": "each gene's mean over the training spots: its r is undefined, its errors are not",
    "permutation": "stain+ridge on genes shuffled over a section's spots, mean of up to ten draws: the floor",
}
"""Names, and what each one is."""


def fit_baselines(train: Sequence[Section], val: Sequence[Section], seed: int) -> dict[str, list[Predict]]:
    """Fit every baseline on training sections, its penalty chosen on validation sections.

    The sections are passed over three times, and once more a draw of the permutation floor; what is kept of
    them is of the size of a ridge's moments.

    Returns
    -------
    By baseline, what predicts a section: one, or one a draw where chance is part of the baseline.
    """
    inputs: dict[str, Inputs] = {
        "stain+ridge": _stain,
        "pca+ridge": _principal_components(chain(train, val)),
        "ridge+neighbours": _with_neighbours,
        "coordinates": _coordinates,
        "total-count": _total_count,
    }
    fits = fit_ridges(train, val, inputs)
    found = {name: [_predictor(linear, inputs[name])] for name, (linear, _) in fits.items()}
    found["mean"] = [_mean(chain(train, val))]
    generator = torch.Generator().manual_seed(seed)
    draws = max(1, min(DRAWS, SHUFFLED // train[0].y.shape[1]))
    found["permutation"] = [
        _predictor(fit_ridge(_shuffled(train, generator), _shuffled(val, generator), _stain)[0], _stain)
        for _ in range(draws)
    ]
    return found


def _predictor(linear: Linear, inputs: Inputs) -> Predict:
    def predict(section: Section) -> Values:
        weight, bias = linear.weight.to(section.y), linear.bias.to(section.y)
        return np.asarray((inputs(section) @ weight + bias).cpu().numpy())

    return predict


def _mean(sections: Iterable[Section]) -> Predict:
    mean = levels_of(sections).mean.float().numpy()
    return lambda section: np.tile(mean, (len(section.y), 1))


def _stain(section: Section) -> Tensor:
    return standardized(section.stain)


def _with_neighbours(section: Section) -> Tensor:
    around = neighbor_mean(section.features, section.neighbors[:, :CONTEXT])
    return torch.cat([standardized(section.features), standardized(around)], dim=1)


def _coordinates(section: Section) -> Tensor:
    xy = standardized(section.center_um)
    return standardized(torch.cat([xy, xy**2, xy[:, :1] * xy[:, 1:]], dim=1))


def _total_count(section: Section) -> Tensor:
    total = section.total[:, None]
    return standardized(torch.cat([total, total.log1p()], dim=1))


def _principal_components(sections: Iterable[Section]) -> Inputs:
    """PCA of standardised features, fitted on the sections given (features only)."""
    moments = None
    for section in sections:
        x = standardized(section.features)
        own = Moments.of(x, x[:, :0])
        moments = moments + own if moments else own
    if moments is None:
        raise ValueError("a PCA needs a section")
    _, axes = torch.linalg.eigh(moments.xx)
    kept = min(PCA_DIMS, min(moments.rows, len(axes)) // 2)
    basis = axes.flip(1)[:, :kept].float()
    return lambda section: standardized(section.features) @ basis.to(section.features)


def _shuffled(sections: Iterable[Section], generator: torch.Generator) -> Iterator[Section]:
    """Shuffle each gene on its own: shuffled together, a few programs would score far from 0 by chance."""
    for section in sections:
        own, y = section.y[section.spots], torch.full_like(section.y, torch.nan)
        drawn = torch.rand(own.shape, generator=generator)
        order = drawn.T.contiguous().argsort(1).to(own.device)  # along memory, twice as fast
        y[section.spots] = own.T.gather(1, order).T
        yield replace(section, y=y)
