"""Ridge regression in closed form from moments, for many penalties at the price of one decomposition."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """An affine map: `x @ weight + bias`."""

    weight: Float[Tensor, "dim gene"]
    bias: Float[Tensor, " gene"]

    def __call__(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch gene"]:
        """Predict."""
        return x @ self.weight + self.bias


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Means of inputs x and targets y over some rows, and second moments about them, in float64.

    All that ridge needs to know of the rows: those of many sections are summed, one section at a time, in
    memory of dim² + dim × gene. Sums and differences move the means as pairwise variances do (Chan, Golub and
    LeVeque, 1979), since sums about 0 would cancel.
    """

    rows: int
    mean_x: Float[Tensor, " dim"]
    mean_y: Float[Tensor, " gene"]
    xx: Float[Tensor, "dim dim"]
    xy: Float[Tensor, "dim gene"]
    yy: Float[Tensor, " gene"]

    @classmethod
    def of(
        cls, x: Float[Tensor, "row dim"], y: Float[Tensor, "row gene"], *, about_zero: bool = False
    ) -> "Moments":
        """Take the moments of some rows about their means.

        With `about_zero` about 0, for rows that are centred already, on more than themselves: the moments of
        these are plain sums.
        """
        x, y = x.cpu().double(), y.cpu().double()  # MPS has no float64
        mean_x, mean_y = x.mean(0), y.mean(0)
        if about_zero:
            mean_x, mean_y = torch.zeros_like(mean_x), torch.zeros_like(mean_y)
        else:
            x, y = x - mean_x, y - mean_y
        return cls(
            rows=len(x),
            mean_x=mean_x,
            mean_y=mean_y,
            xx=x.T @ x,
            xy=x.T @ y,
            yy=torch.linalg.vecdot(y, y, dim=0),
        )

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of the rows of both."""
        return self._with(other, 1)

    def __sub__(self, other: "Moments") -> "Moments":
        """Moments of the rows that are left without those of the other, which are among them."""
        return self._with(other, -1)

    def _with(self, other: "Moments", sign: int) -> "Moments":
        rows = self.rows + sign * other.rows
        off_x, off_y = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        share = sign * other.rows / max(rows, 1)
        moved = share * self.rows
        return Moments(
            rows=rows,
            mean_x=self.mean_x + share * off_x,
            mean_y=self.mean_y + share * off_y,
            xx=(self.xx + sign * other.xx).addr_(off_x, off_x, alpha=moved),
            xy=(self.xy + sign * other.xy).addr_(off_x, off_y, alpha=moved),
            yy=self.yy + sign * other.yy + moved * off_y.square(),
        )

    def of_genes(self, genes: Int[Tensor, " some"]) -> "Moments":
        """Leave out all targets but some."""
        if len(genes) == len(self.mean_y):
            return self
        return Moments(
            rows=self.rows,
            mean_x=self.mean_x,
            mean_y=self.mean_y[genes],
            xx=self.xx,
            xy=self.xy[:, genes],
            yy=self.yy[genes],
        )

    def of_inputs(self, first: int) -> "Moments":
        """Leave out all inputs but the first ones."""
        return Moments(
            rows=self.rows,
            mean_x=self.mean_x[:first],
            mean_y=self.mean_y,
            xx=self.xx[:first, :first],
            xy=self.xy[:first],
            yy=self.yy,
        )


class RidgePath:
    """Least squares with penalty λ · n · ‖W‖² on centred data (Hoerl and Kennard, Technometrics 1970).

    Scaling λ by the number of rows n makes one λ mean the same on a small and on a large cohort.
    """

    def __init__(self, moments: Moments) -> None:
        self._mean_x, self._mean_y, self._rows = moments.mean_x, moments.mean_y, moments.rows
        values, self._basis = torch.linalg.eigh(moments.xx)
        self._values = values.clamp(min=0)
        self._projected = self._basis.T @ moments.xy

    @property
    def variance(self) -> float:
        """Total variance of the inputs, times the number of rows."""
        return float(self._values.sum())

    def weight(self, added: float) -> Float[Tensor, "dim gene"]:
        """Return the weights in float64 with something > 0 added to the diagonal: λ · n."""
        weight: Tensor = self._basis @ (self._projected / (self._values + added)[:, None])
        return weight

    def at(self, penalty: float) -> Linear:
        """Return the solution at a penalty λ > 0."""
        weight = self.weight(penalty * self._rows)
        return Linear(weight=weight.float(), bias=(self._mean_y - self._mean_x @ weight).float())

    def predict(self, x: Float[Tensor, "row dim"], penalty: float) -> Float[Tensor, "row gene"]:
        """Predict by the solution at a penalty λ > 0, which is not written out."""
        turned = (x.cpu().double() - self._mean_x) @ self._basis
        predicted: Tensor = (turned / (self._values + penalty * self._rows)) @ self._projected
        return predicted.add_(self._mean_y).float()
