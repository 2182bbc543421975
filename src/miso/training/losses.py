"""Losses over the spots of one section, a value per gene, by name; targets and rates in the target's units.

A loss takes predicted values, measured ones and each spot's exposure: its library size over the mean library
size of the training spots. A value is what a spot of mean library size is expected to show, so the rate of a
spot is value × exposure. Only losses of counts look at exposures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from miso.errors import ConfigError
from miso.registry import Registry

Values = Float[Tensor, "spot gene"]
Exposure = Float[Tensor, " spot"]
PerGene = Float[Tensor, " gene"]
SMALLEST = 1e-12
"""Values are taken for at least this in logarithms, so that they stay finite."""
LEAST_DISPERSION = 1e-4
"""A variance of mean + 0.0001 mean² is Poisson's for all that can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a network learns by.

    Attributes
    ----------
    of_genes
        (predicted, measured, exposure) → the loss of each gene, a mean over the spots.
    link
        What the network's output passes through to become a value (`MisoConfig.link`).
    counts
        Whether targets have to be molecules, with their library size.
    """

    of_genes: Callable[[Values, Values, Exposure], PerGene]
    link: Literal["identity", "softplus"] = "identity"
    counts: bool = False


losses: Registry[Loss] = Registry("loss", "miso.losses", ConfigError)


def mean_loss(
    loss: Loss, predicted: Values, measured: Values, exposure: Exposure, weights: PerGene | None = None
) -> Tensor:
    """Mean over genes of a section's loss, weighted where `weights` (≥ 0, any scale) says how.

    Genes that the section did not measure (NaN throughout), spots that lack any of the others, and genes of
    weight 0 are left out, and teach nothing; if none is left the loss is 0.
    """
    lacking = measured.isnan()
    genes = ~lacking.all(0)
    spots = ~lacking[:, genes].any(1)
    if weights is not None:
        genes = genes & (weights > 0)
        weights = weights[genes]
    if not bool(genes.all()):
        predicted, measured = predicted[:, genes], measured[:, genes]
    if not bool(spots.all()):
        predicted, measured, exposure = predicted[spots], measured[spots], exposure[spots]
    if measured.numel() == 0:
        return predicted.sum()  # of nothing: 0, and its gradients too
    each = loss.of_genes(predicted, measured, exposure)
    return each.mean() if weights is None else (each * weights).sum() / weights.sum()


# ---- of any target


def cosine(predicted: Values, measured: Values, exposure: Exposure) -> PerGene:
    """1 − cosine over the spots (uncentred): the published MISO loss."""
    return 1 - F.cosine_similarity(predicted, measured, dim=0)


def pearson(predicted: Values, measured: Values, exposure: Exposure) -> PerGene:
    """1 − Pearson's r over the spots; of a gene that never varies r counts as 0."""
    return cosine(predicted - predicted.mean(0), measured - measured.mean(0), exposure)


def squared_error(predicted: Values, measured: Values, exposure: Exposure) -> PerGene:
    """Mean squared error."""
    return (predicted - measured).square().mean(0)


def squared_error_and_pearson(predicted: Values, measured: Values, exposure: Exposure) -> PerGene:
    """Mean squared error in units of the gene's variance on the section, plus the Pearson loss."""
    variance = measured.var(0, correction=0).clamp(min=1e-6)
    scaled = squared_error(predicted, measured, exposure) / variance
    return scaled + pearson(predicted, measured, exposure)


def centred_squared_error(predicted: Values, measured: Values, exposure: Exposure) -> PerGene:
    """Mean squared error after each gene's section mean is taken off the prediction."""
    return (predicted - predicted.mean(0) - measured).square().mean(0)


# ---- of counts, with library size as offset


def poisson(predicted: Values, measured: Values, exposure: Exposure) -> PerGene:
    """Minus the Poisson log-likelihood of the counts, but for terms without the prediction.

    The rate is value × exposure, as in Poisson regression with ln(exposure) as offset (Cameron and Trivedi,
    Regression Analysis of Count Data, 2nd ed. 2013, chapter 3).
    """
    rate = predicted * exposure[:, None]
    return (rate - measured * _log(predicted)).mean(0)


def negative_binomial(predicted: Values, measured: Values, exposure: Exposure) -> PerGene:
    """Minus the log-likelihood of the NB2 model, whose variance is rate + α rate², as `poisson` for the rest.

    α is each gene's `dispersion` on the section at the current prediction, held fixed in the gradient
    (Hilbe, Negative Binomial Regression, 2nd ed. 2011, chapter 8).
    """
    rate = predicted * exposure[:, None]
    alpha = dispersion(rate, measured)
    return ((measured + 1 / alpha) * torch.log1p(alpha * rate) - measured * _log(predicted)).mean(0)


@torch.no_grad()
def dispersion(rate: Values, measured: Values) -> PerGene:
    """Estimate α of a variance rate + α rate² by moments, at least `LEAST_DISPERSION`.

    It is the slope through the origin of ((y − rate)² − y) / rate on the rate (Cameron and Trivedi, Journal
    of Econometrics 1990), which is right on average where the rate is.
    """
    beyond = ((measured - rate).square() - measured).sum(0)
    return (beyond / rate.square().sum(0).clamp(min=SMALLEST)).clamp(min=LEAST_DISPERSION)


def _log(values: Values) -> Values:
    return values.clamp(min=SMALLEST).log()


COSINE = losses.register("cosine")(Loss(of_genes=cosine))
losses.register("pearson")(Loss(of_genes=pearson))
losses.register("mse")(Loss(of_genes=squared_error))
losses.register("mse+pearson")(Loss(of_genes=squared_error_and_pearson))
losses.register("poisson")(Loss(of_genes=poisson, link="softplus", counts=True))
losses.register("negative_binomial")(Loss(of_genes=negative_binomial, link="softplus", counts=True))
CENTRED_MSE = Loss(of_genes=centred_squared_error)
"""Of goals that are centred on their section; not for choosing by name."""
