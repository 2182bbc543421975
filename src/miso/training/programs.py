"""Expression programs: a few profiles whose mixtures make up the labels of all spots."""

import warnings
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import NMF, TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from miso.models.ridge import Moments

MOST_SPOTS = 4096
"""More spots than this, spread evenly, add nothing to a few dozen programs."""


class Spots(Protocol):
    """Labels of a section, a tensor or what reads one: the rows that are asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Tensor, /) -> Float[Tensor, "some gene"]: ...


def find_programs(
    labels: Sequence[Spots], n_programs: int, nonnegative: bool, seed: int
) -> Float[Tensor, "factor gene"]:
    """Factorise labels, each gene scaled to spread 1 so that all count alike.

    Non-negative labels by non-negative matrix factorisation (Lee and Seung, Nature 1999), others by singular
    vectors. Fewer spots or genes than programs leave the last ones at 0.
    """
    y = _spread_evenly(labels, MOST_SPOTS).double().numpy()
    scale = np.maximum(y.std(axis=0), 1e-6)
    rank = min(n_programs, *y.shape)
    profiles = _nmf(y.clip(0) / scale, rank, seed) if nonnegative else _svd(y / scale, rank, seed)
    programs = np.zeros((n_programs, y.shape[1]))
    programs[:rank] = profiles * scale
    return torch.from_numpy(programs.astype(np.float32))


def spread_of(labels: Iterable[Float[Tensor, "spot gene"]]) -> Float[Tensor, " gene"]:
    """Return the standard deviation of labels over the spots of all sections, which are read in turn."""
    each = (Moments.of(values[:, :0], values) for values in labels)
    every = reduce(Moments.__add__, each)
    return (every.yy / max(every.rows - 1, 1)).sqrt().float()


def _spread_evenly(labels: Sequence[Spots], most: int) -> Float[Tensor, "spot gene"]:
    """Take at most so many spots; the rest is not read."""
    ends = np.cumsum([0, *map(len, labels)])
    rows = np.unique(np.linspace(0, ends[-1] - 1, min(most, int(ends[-1]))).astype(int))
    parts = [
        each[torch.from_numpy(rows[(rows >= start) & (rows < end)] - start)]
        for each, start, end in zip(labels, ends[:-1], ends[1:], strict=True)
    ]
    return torch.cat(parts)


def _nmf(y: Float[np.ndarray, "spot gene"], rank: int, seed: int) -> Float[np.ndarray, "factor gene"]:
    model = NMF(n_components=rank, init="nndsvda", max_iter=200, tol=1e-4, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # a good start is enough: mixtures are learnt later
        mixtures = model.fit_transform(y)
    # a mixture is about 1 on average, where softplus is neither flat nor saturated
    profiles: Float[np.ndarray, "factor gene"] = model.components_ * mixtures.mean(axis=0)[:, None]
    return profiles


def _svd(y: Float[np.ndarray, "spot gene"], rank: int, seed: int) -> Float[np.ndarray, "factor gene"]:
    model = TruncatedSVD(n_components=min(rank, y.shape[1] - 1) or 1, random_state=seed).fit(y)
    profiles = np.zeros((rank, y.shape[1]))
    profiles[: len(model.components_)] = model.components_ * model.singular_values_[:, None] / np.sqrt(len(y))
    return profiles
