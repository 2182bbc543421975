"""Ridge regression in closed form, for many penalties at the price of one decomposition."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """An affine map: `x @ weight + bias`."""

    weight: Float[Tensor, "dim gene"]
    bias: Float[Tensor, " gene"]

    def __call__(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch gene"]:
        """Predict."""
        return x @ self.weight + self.bias


class RidgePath:
    """Least squares with penalty λ · n · ‖W‖² on centred data (Hoerl and Kennard, Technometrics 1970).

    Scaling λ by the number of rows n makes one λ mean the same on a small and on a large cohort.
    """

    def __init__(self, x: Float[Tensor, "row dim"], y: Float[Tensor, "row gene"]) -> None:
        x, y = x.cpu().double(), y.cpu().double()  # MPS has no float64
        self._mean_x, self._mean_y, self._rows = x.mean(0), y.mean(0), len(x)
        x = x - self._mean_x
        self._values, self._basis = torch.linalg.eigh(x.T @ x)
        self._projected = self._basis.T @ (x.T @ (y - self._mean_y))

    def at(self, penalty: float) -> Linear:
        """Return the solution at a penalty > 0."""
        shrunk = self._projected / (self._values.clamp(min=0) + penalty * self._rows)[:, None]
        weight = self._basis @ shrunk
        return Linear(weight=weight.float(), bias=(self._mean_y - self._mean_x @ weight).float())
