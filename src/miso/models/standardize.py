"""Mean and spread of a section's features: stain shift between slides is mostly a shift of these."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

EPSILON = 1e-6
REFERENCE_SPOTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReference:
    """What a section's features are measured against; taken from features only, never from counts."""

    mean: Float[Tensor, " dim"]
    std: Float[Tensor, " dim"]

    @classmethod
    def of(cls, features: Float[Tensor, "*batch dim"]) -> "FeatureReference":
        """Take the mean and spread over everything but the last axis (a single row has spread 0)."""
        flat = features.reshape(-1, features.shape[-1]).cpu().double()  # MPS has no float64
        return cls(mean=flat.mean(0).float(), std=flat.std(0, correction=0).float())

    @classmethod
    def of_section(cls, patches: Float[NDArray[np.float16], "spot patch dim"]) -> "FeatureReference":
        """Take them from the patches of at most `REFERENCE_SPOTS` spots, spread evenly over a section."""
        rows = np.unique(np.linspace(0, len(patches) - 1, min(REFERENCE_SPOTS, len(patches))).astype(int))
        return cls.of(torch.from_numpy(np.asarray(patches[rows], dtype=np.float32)))

    def apply(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Centre and scale features; one that never varies becomes 0."""
        mean, std = self.mean.to(features), self.std.to(features)
        return torch.where(std > EPSILON, (features - mean) / std.clamp(min=EPSILON), 0.0)
