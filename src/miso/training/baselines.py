"""What every result stands beside: ridge on simple inputs, an oracle of depth, and a permutation floor."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from miso.models.attention import neighbor_mean
from miso.models.miso import standardized
from miso.training.linear import Inputs, fit_ridge
from miso.training.sections import Section

Predictions = dict[str, Float[NDArray[np.float32], "spot gene"]]
"""Values by the name of a section."""
PCA_DIMS = 256
"""Components that are kept; of fewer than 512 features, half."""
DRAWS = 10
"""Shuffles behind the permutation floor; a single one lies well off 0 by chance."""
CONTEXT = 25

BASELINES = {
    "stain+ridge": "ridge on the stain encoder's tile features",
    "pca+ridge": "ridge on 256 principal components of the encoder's tile features",
    "ridge+neighbours": "ridge on the encoder's tile features and the mean over the 25 nearest spots",
    "coordinates": "ridge on a quadratic of the position on the section; no image",
    "total-count": "ridge on the test section's own total counts: an oracle of depth, not a predictor",
    "mean": "each gene's mean over the training spots: its r is undefined, its errors are not",
    "permutation": "stain+ridge on genes shuffled over a section's spots, mean of ten draws: the floor",
}
"""Names, and what each one is."""


def predict_baselines(
    train: Sequence[Section], val: Sequence[Section], test: Sequence[Section], seed: int
) -> dict[str, list[Predictions]]:
    """Fit every baseline on training sections, its penalty chosen on validation sections, and predict.

    Returns
    -------
    By baseline, its predictions: one set, or one a draw where chance is part of the baseline.
    """
    fitted: dict[str, tuple[Inputs, Sequence[Section], Sequence[Section]]] = {
        "stain+ridge": (_stain, train, val),
        "pca+ridge": (_principal_components([*train, *val]), train, val),
        "ridge+neighbours": (_with_neighbours, train, val),
        "coordinates": (_coordinates, train, val),
        "total-count": (_total_count, train, val),
    }
    predicted = {name: [_predict(*arguments, test)] for name, arguments in fitted.items()}
    mean = torch.cat([s.y for s in (*train, *val)]).nanmean(0).nan_to_num().cpu().numpy()
    predicted["mean"] = [{s.name: np.tile(mean, (len(s.y), 1)) for s in test}]
    generator = torch.Generator().manual_seed(seed)
    predicted["permutation"] = [
        _predict(_stain, _shuffled(train, generator), _shuffled(val, generator), test) for _ in range(DRAWS)
    ]
    return predicted


def _predict(
    inputs: Inputs, train: Sequence[Section], val: Sequence[Section], test: Sequence[Section]
) -> Predictions:
    linear, _ = fit_ridge(train, val, inputs)
    weight, bias = linear.weight.to(train[0].y), linear.bias.to(train[0].y)
    return {s.name: (inputs(s) @ weight + bias).cpu().numpy() for s in test}


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


def _principal_components(sections: Sequence[Section]) -> Callable[[Section], Tensor]:
    """PCA of standardised features, fitted on the sections given (features only)."""
    x = torch.cat([standardized(s.features) for s in sections]).cpu().double()
    _, _, axes = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    basis = axes[: min(PCA_DIMS, len(axes) // 2)].T.float().to(sections[0].features)
    return lambda section: standardized(section.features) @ basis


def _shuffled(sections: Sequence[Section], generator: torch.Generator) -> list[Section]:
    """Shuffle each gene on its own: shuffled together, a few programs would score far from 0 by chance."""
    orders = [torch.rand(s.y.shape, generator=generator).argsort(0).to(s.y.device) for s in sections]
    return [replace(s, y=s.y.gather(0, order)) for s, order in zip(sections, orders, strict=True)]
