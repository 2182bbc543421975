"""Mean and spread of a section's features: stain shift between slides is mostly a shift of these."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

EPSILON = 1e-6
REFERENCE_SPOTS = 256
AT_ONCE = 65_536
"""Rows that are in float64 at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReference:
    """What a section's features are measured against; taken from features only, never from counts."""

    mean: Float[Tensor, " dim"]
    std: Float[Tensor, " dim"]

    @classmethod
    def of(cls, features: Float[Tensor, "*batch dim"]) -> "FeatureReference":
        """Take the mean and spread over everything but the last axis (a single row has spread 0)."""
        flat = features.reshape(-1, features.shape[-1])
        return cls.of_parts(lambda: torch.split(flat, AT_ONCE))

    @classmethod
    def of_parts(cls, parts: Callable[[], Iterable[Float[Tensor, "row dim"]]]) -> "FeatureReference":
        """Take them over rows that come in parts, which are passed over twice."""
        total, rows = reduce(_add, ((part.cpu().double().sum(0), len(part)) for part in parts()))
        mean = total / rows  # float64, which MPS has not
        spread, _ = reduce(_add, (((part.cpu().double() - mean).square().sum(0), 0) for part in parts()))
        return cls(mean=mean.float(), std=(spread / rows).sqrt().float())

    @classmethod
    def of_section(cls, patches: Float[NDArray[np.float16], "spot patch dim"]) -> "FeatureReference":
        """Take them from the patches of at most `REFERENCE_SPOTS` spots, spread evenly over a section."""
        rows = np.unique(np.linspace(0, len(patches) - 1, min(REFERENCE_SPOTS, len(patches))).astype(int))
        return cls.of(torch.from_numpy(np.asarray(patches[rows], dtype=np.float32)))

    def apply(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Centre and scale features; one that never varies becomes 0."""
        mean, std = self.mean.to(features), self.std.to(features)
        return torch.where(std > EPSILON, (features - mean) / std.clamp(min=EPSILON), 0.0)


def _add(one: tuple[Tensor, int], other: tuple[Tensor, int]) -> tuple[Tensor, int]:
    return one[0] + other[0], one[1] + other[1]
