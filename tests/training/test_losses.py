"""Losses over the spots of a section, by hand."""

import pytest
import torch

from miso.training.losses import centred_mse, cosine_loss, losses

MEASURED = torch.tensor([[3.0, 1.0], [4.0, 0.0], [0.0, 0.0]])


def test_the_published_loss_is_the_mean_over_genes_of_one_minus_cosine_over_spots() -> None:
    predicted = torch.tensor([[4.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    assert float(cosine_loss(predicted, MEASURED)) == pytest.approx(((1 - 24 / 25) + 1) / 2)


def test_the_published_loss_is_not_centred() -> None:
    predicted = MEASURED + 10
    spots = [
        MEASURED[:, g] @ predicted[:, g] / MEASURED[:, g].norm() / predicted[:, g].norm() for g in (0, 1)
    ]
    assert float(cosine_loss(predicted, MEASURED)) == pytest.approx(1 - float(sum(spots)) / 2)
    assert float(cosine_loss(predicted, MEASURED)) > 0.1


def test_the_published_loss_does_not_care_for_scale_and_is_finite_for_a_gene_without_counts() -> None:
    measured = torch.cat([MEASURED, torch.zeros(3, 1)], dim=1)
    predicted = torch.rand(3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = cosine_loss(predicted, measured)
    loss.backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()
    assert float(cosine_loss(7 * predicted.detach(), measured)) == pytest.approx(float(loss.detach()))


def test_centred_squared_error_forgives_a_shift_of_the_prediction() -> None:
    goal = MEASURED - MEASURED.mean(0)
    assert float(centred_mse(goal + 5, goal)) == pytest.approx(0, abs=1e-10)
    wrong = torch.zeros_like(goal)
    assert float(centred_mse(wrong, goal)) == pytest.approx(float((goal**2).mean()))


def test_the_centred_loss_is_one_minus_r_and_forgives_shift_and_scale() -> None:
    predicted = torch.tensor([[1.0, 2.0], [3.0, 1.0], [2.0, 6.0]])
    r = [float(torch.corrcoef(torch.stack([predicted[:, g], MEASURED[:, g]]))[0, 1]) for g in (0, 1)]
    assert float(losses["pearson"](predicted, MEASURED)) == pytest.approx(1 - sum(r) / 2, abs=1e-6)
    moved = 3 * predicted + 8
    assert float(losses["pearson"](moved, MEASURED)) == pytest.approx(1 - sum(r) / 2, abs=1e-6)


def test_squared_error_is_that_and_its_sum_with_pearson_weighs_genes_alike() -> None:
    predicted = torch.zeros_like(MEASURED)
    assert float(losses["mse"](predicted, MEASURED)) == pytest.approx(26 / 6)
    scaled = MEASURED * torch.tensor([100.0, 0.01])
    one, other = (float(losses["mse+pearson"](predicted, each)) for each in (MEASURED, scaled))
    assert one == pytest.approx(other, rel=1e-2)


@pytest.mark.parametrize("name", list(losses))
def test_every_loss_is_least_at_the_truth_and_has_finite_gradients(name: str) -> None:
    goal = MEASURED
    constant = torch.cat([goal, torch.zeros(3, 1)], dim=1)
    worse = torch.rand(3, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = losses[name](worse, constant)
    loss.backward()  # type: ignore[no-untyped-call]
    assert worse.grad is not None
    assert torch.isfinite(worse.grad).all()
    assert float(losses[name](goal, goal)) < float(losses[name](worse.detach()[:, :2], goal)) + 1e-6
