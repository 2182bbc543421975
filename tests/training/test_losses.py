"""Losses over the spots of a section: by hand, and against scipy's likelihoods."""

import numpy as np
import pytest
import torch
from scipy.stats import nbinom
from scipy.stats import poisson as poisson_of
from torch import Tensor

from miso.training.losses import (
    CENTRED_MSE,
    COSINE,
    LEAST_DISPERSION,
    Loss,
    dispersion,
    losses,
    mean_loss,
)

MEASURED = torch.tensor([[3.0, 1.0], [4.0, 0.0], [0.0, 0.0]])
OF_COUNTS = ("poisson", "negative_binomial")


def mean(
    loss: Loss | str, predicted: Tensor, measured: Tensor = MEASURED, weights: Tensor | None = None
) -> float:
    """At exposures of 1."""
    found = losses[loss] if isinstance(loss, str) else loss
    return float(mean_loss(found, predicted, measured, torch.ones(len(measured)), weights))


def molecules(rate: Tensor, alpha: float, spots: int = 4000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Counts of genes of these rates and one dispersion, over spots of unlike exposure."""
    rng = np.random.default_rng(seed)
    exposure = rng.lognormal(0, 0.5, spots)
    expected = exposure[:, None] * rate.double().numpy()
    drawn = rng.poisson(expected * (rng.gamma(1 / alpha, alpha, expected.shape) if alpha else 1.0))
    return torch.from_numpy(drawn).double(), torch.from_numpy(exposure)


# ---- of any target


def test_the_published_loss_is_the_mean_over_genes_of_one_minus_cosine_over_spots() -> None:
    predicted = torch.tensor([[4.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    assert mean(COSINE, predicted) == pytest.approx(((1 - 24 / 25) + 1) / 2)


def test_the_published_loss_is_not_centred() -> None:
    predicted = MEASURED + 10
    spots = [
        MEASURED[:, g] @ predicted[:, g] / MEASURED[:, g].norm() / predicted[:, g].norm() for g in (0, 1)
    ]
    assert mean(COSINE, predicted) == pytest.approx(1 - float(sum(spots)) / 2)
    assert mean(COSINE, predicted) > 0.1


def test_the_published_loss_does_not_care_for_scale_and_is_finite_for_a_gene_without_counts() -> None:
    measured = torch.cat([MEASURED, torch.zeros(3, 1)], dim=1)
    predicted = torch.rand(3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = mean_loss(COSINE, predicted, measured, torch.ones(3))
    loss.backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()
    assert mean(COSINE, 7 * predicted.detach(), measured) == pytest.approx(float(loss.detach()))


def test_centred_squared_error_forgives_a_shift_of_the_prediction() -> None:
    goal = MEASURED - MEASURED.mean(0)
    assert mean(CENTRED_MSE, goal + 5, goal) == pytest.approx(0, abs=1e-10)
    wrong = torch.zeros_like(goal)
    assert mean(CENTRED_MSE, wrong, goal) == pytest.approx(float((goal**2).mean()))


def test_the_centred_loss_is_one_minus_r_and_forgives_shift_and_scale() -> None:
    predicted = torch.tensor([[1.0, 2.0], [3.0, 1.0], [2.0, 6.0]])
    r = [float(torch.corrcoef(torch.stack([predicted[:, g], MEASURED[:, g]]))[0, 1]) for g in (0, 1)]
    assert mean("pearson", predicted) == pytest.approx(1 - sum(r) / 2, abs=1e-6)
    moved = 3 * predicted + 8
    assert mean("pearson", moved) == pytest.approx(1 - sum(r) / 2, abs=1e-6)


def test_squared_error_is_that_and_its_sum_with_pearson_weighs_genes_alike() -> None:
    predicted = torch.zeros_like(MEASURED)
    assert mean("mse", predicted) == pytest.approx(26 / 6)
    scaled = MEASURED * torch.tensor([100.0, 0.01])
    one, other = (mean("mse+pearson", predicted, each) for each in (MEASURED, scaled))
    assert one == pytest.approx(other, rel=1e-2)


@pytest.mark.parametrize("name", list(losses))
def test_every_loss_is_least_at_the_truth_and_has_finite_gradients(name: str) -> None:
    constant = torch.cat([MEASURED, torch.zeros(3, 1)], dim=1)
    worse = torch.rand(3, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    mean_loss(losses[name], worse, constant, torch.tensor([1.0, 2.0, 0.0])).backward()  # type: ignore[no-untyped-call]
    assert worse.grad is not None
    assert torch.isfinite(worse.grad).all()
    assert mean(name, MEASURED) < mean(name, worse.detach()[:, :2]) + 1e-6


@pytest.mark.parametrize("name", [name for name in losses if name not in OF_COUNTS])
def test_only_losses_of_counts_look_at_exposures(name: str) -> None:
    predicted = torch.rand(3, 2, generator=torch.Generator().manual_seed(2))
    loss = losses[name]
    assert (loss.link, loss.counts) == ("identity", False)
    assert float(mean_loss(loss, predicted, MEASURED, torch.tensor([9.0, 1.0, 0.1]))) == mean(loss, predicted)


# ---- over genes


@pytest.mark.parametrize("name", list(losses))
def test_weights_make_it_the_weighted_mean_over_genes_whatever_their_scale(name: str) -> None:
    predicted = torch.rand(3, 2, generator=torch.Generator().manual_seed(3))
    first, second = (mean(name, predicted[:, [g]], MEASURED[:, [g]]) for g in (0, 1))
    assert mean(name, predicted) == pytest.approx((first + second) / 2, rel=1e-5)
    for scale in (1, 40):
        weights = scale * torch.tensor([3.0, 1.0])
        assert mean(name, predicted, weights=weights) == pytest.approx((3 * first + second) / 4, rel=1e-5)


@pytest.mark.parametrize("name", list(losses))
def test_a_gene_that_was_not_measured_or_has_no_weight_teaches_nothing(name: str) -> None:
    predicted = torch.rand(3, 4, generator=torch.Generator().manual_seed(4)).requires_grad_()
    measured = torch.cat([MEASURED, torch.full((3, 1), torch.nan), torch.ones(3, 1)], dim=1)
    weights = torch.tensor([1.0, 1.0, 5.0, 0.0])
    loss = mean_loss(losses[name], predicted, measured, torch.ones(3), weights)
    assert loss.item() == pytest.approx(mean(name, predicted.detach()[:, :2]), rel=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None
    assert predicted.grad[:, :2].abs().sum() > 0
    assert (predicted.grad[:, 2:] == 0).all()


@pytest.mark.parametrize("name", [*losses, "centred"])
def test_spots_without_a_value_teach_nothing(name: str) -> None:
    loss = CENTRED_MSE if name == "centred" else losses[name]
    predicted = torch.rand(5, 3, generator=torch.Generator().manual_seed(6)).requires_grad_()
    nothing = torch.full((1, 2), torch.nan)
    measured = torch.cat([nothing, MEASURED, nothing])
    measured = torch.cat([measured, torch.full((5, 1), torch.nan)], dim=1)  # and a gene not measured
    exposure = torch.tensor([3.0, 1.0, 0.5, 2.0, 9.0])
    found = mean_loss(loss, predicted, measured, exposure)
    alone = mean_loss(loss, predicted[1:4, :2], MEASURED, exposure[1:4])
    assert found.item() == pytest.approx(alone.item(), rel=1e-6)
    found.backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None
    assert (predicted.grad[[0, 4]] == 0).all()
    assert predicted.grad[1:4].isfinite().all()


def test_goals_of_programs_that_are_not_there_are_no_reason_to_keep_a_spot() -> None:
    goal = torch.cat([MEASURED - MEASURED.mean(0), torch.full((1, 2), torch.nan)])
    padded = torch.cat([goal, torch.zeros(4, 2)], dim=1)
    predicted = torch.rand(4, 4, generator=torch.Generator().manual_seed(7))
    assert mean(CENTRED_MSE, predicted, padded) == pytest.approx(mean(CENTRED_MSE, predicted[:3], padded[:3]))


def test_a_section_without_a_gene_that_counts_has_a_loss_of_nothing() -> None:
    predicted = torch.rand(3, 2).requires_grad_()
    loss = mean_loss(COSINE, predicted, MEASURED.clone().fill_(torch.nan), torch.ones(3))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert predicted.grad is not None
    assert (predicted.grad == 0).all()


# ---- of counts


def test_the_poisson_loss_differs_from_its_log_likelihood_by_nothing_that_is_predicted() -> None:
    y, exposure = molecules(torch.tensor([0.3, 4.0, 50.0]), 0, spots=60)
    values = torch.rand(2, *y.shape, generator=torch.Generator().manual_seed(0)).double() * 30 + 0.1
    ours, theirs = [], []
    for value in values:
        ours.append(mean_loss(losses["poisson"], value, y, exposure).item())
        theirs.append(-poisson_of.logpmf(y.numpy(), (value * exposure[:, None]).numpy()).mean())
    assert ours[0] - ours[1] == pytest.approx(theirs[0] - theirs[1], rel=1e-9)


def test_the_negative_binomial_gradient_is_that_of_its_log_likelihood() -> None:
    y, exposure = molecules(torch.tensor([0.3, 4.0, 50.0]), 0.7, spots=60)
    value = (
        torch.rand(*y.shape, generator=torch.Generator().manual_seed(1)).double() * 9 + 1
    ).requires_grad_()
    mean_loss(losses["negative_binomial"], value, y, exposure).backward()  # type: ignore[no-untyped-call]
    alpha = dispersion(value.detach() * exposure[:, None], y).numpy()

    def minus_log_likelihood(values: np.ndarray) -> np.ndarray:
        rate = values * exposure.numpy()[:, None]
        return np.asarray(-nbinom.logpmf(y.numpy(), 1 / alpha, 1 / (1 + alpha * rate)))

    at, step = value.detach().numpy(), 1e-5
    slope = (minus_log_likelihood(at + step) - minus_log_likelihood(at - step)) / (2 * step) / y.numel()
    assert value.grad is not None
    np.testing.assert_allclose(value.grad.numpy(), slope, rtol=1e-5, atol=1e-10)


def test_losses_of_counts_by_hand() -> None:
    y, value, exposure = torch.tensor([[3.0], [0.0]]), torch.tensor([[2.0], [1.0]]), torch.tensor([1.0, 2.0])
    poisson = (2 - 3 * np.log(2) + 2) / 2  # rates 2 and 2
    assert float(mean_loss(losses["poisson"], value, y, exposure)) == pytest.approx(poisson)
    alpha = (((3 - 2) ** 2 - 3) + ((0 - 2) ** 2 - 0)) / (2**2 + 2**2)
    assert alpha == 0.25
    nb2 = ((3 + 4) * np.log(1.5) - 3 * np.log(2) + 4 * np.log(1.5)) / 2
    assert float(mean_loss(losses["negative_binomial"], value, y, exposure)) == pytest.approx(nb2)


@pytest.mark.parametrize("name", OF_COUNTS)
def test_the_gradient_of_a_rate_points_at_the_count(name: str) -> None:
    y = torch.tensor([[5.0], [5.0], [0.0]])
    value = torch.tensor([[2.0], [8.0], [1.0]], requires_grad=True)
    mean_loss(losses[name], value, y, torch.ones(3)).backward()  # type: ignore[no-untyped-call]
    assert value.grad is not None
    assert value.grad.sign().flatten().tolist() == [-1, 1, 1]
    assert losses[name].link == "softplus"
    assert losses[name].counts


@pytest.mark.parametrize("name", OF_COUNTS)
@pytest.mark.parametrize("alpha", [0, 0.8])
def test_the_best_value_is_the_rate_at_mean_library_size_however_deep_the_spots(
    name: str, alpha: float
) -> None:
    rate = torch.tensor([0.5, 6.0])
    y, exposure = molecules(rate, alpha)
    value = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([value], lr=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        mean_loss(losses[name], value.expand(len(y), 2), y, exposure).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    np.testing.assert_allclose(value.detach(), rate, rtol=0.07)
    if name == "poisson":  # its likeliest rate is known: all molecules over all exposure
        np.testing.assert_allclose(value.detach(), y.sum(0) / exposure.sum(), rtol=1e-3)


@pytest.mark.parametrize("name", OF_COUNTS)
def test_twice_the_exposure_is_twice_the_rate(name: str) -> None:
    y, exposure = molecules(torch.tensor([2.0]), 0.3, spots=50)
    value = torch.rand(50, 1, generator=torch.Generator().manual_seed(5)).double() + 1
    moved = mean_loss(losses[name], value, y, 2 * exposure) - mean_loss(losses[name], 2 * value, y, exposure)
    assert float(moved) == pytest.approx(float(y.mean()) * np.log(2))  # of y ln(exposure), not predicted


def test_a_spot_without_molecules_says_nothing() -> None:
    y, exposure = molecules(torch.tensor([2.0, 5.0]), 0.3, spots=20)
    value = torch.full_like(y, 3.0)
    y[4], exposure[4] = 0, 0
    others = torch.arange(20) != 4
    for name in OF_COUNTS:
        all_spots = mean_loss(losses[name], value, y, exposure)
        without = mean_loss(losses[name], value[others], y[others], exposure[others])
        assert float(all_spots) == pytest.approx(float(without) * 19 / 20)


def test_dispersion_is_found_from_counts() -> None:
    rate = torch.tensor([0.5, 5.0, 40.0])
    for alpha in (0.25, 1.5):
        y, exposure = molecules(rate, alpha, spots=40_000)
        np.testing.assert_allclose(dispersion(exposure[:, None] * rate, y), alpha, rtol=0.15)
    y, exposure = molecules(rate, 0, spots=40_000)
    assert (dispersion(exposure[:, None] * rate, y) < 0.02).all()


def test_counts_that_vary_less_than_poisson_are_taken_for_poisson() -> None:
    y = torch.full((50, 1), 7.0)
    assert dispersion(y, y).tolist() == [pytest.approx(LEAST_DISPERSION)]
    gradients = []
    for name in OF_COUNTS:
        value = torch.full((50, 1), 6.0, requires_grad=True)
        mean_loss(losses[name], value, y, torch.ones(50)).backward()  # type: ignore[no-untyped-call]
        gradients.append(value.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-2, atol=0)


@pytest.mark.parametrize("name", OF_COUNTS)
def test_values_next_to_nothing_and_huge_counts_stay_finite(name: str) -> None:
    output = torch.tensor([[-200.0], [-30.0], [0.0], [2e4]], requires_grad=True)
    y = torch.tensor([[3.0], [50_000.0], [0.0], [20_000.0]])
    loss = mean_loss(losses[name], torch.nn.functional.softplus(output), y, torch.ones(4))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()
