"""LayerNorm and a linear layer in one step are the two in a row, gradients too."""

import torch
from torch import nn

from miso.models.norm_linear import embedded_norm_linear, norm_linear


def test_it_is_the_two_in_a_row_and_so_are_its_gradients() -> None:
    torch.manual_seed(0)
    norm, linear = nn.LayerNorm(7).double(), nn.Linear(7, 5).double()
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.randn(11, 7, dtype=torch.float64, requires_grad=True)
    wanted = [x, norm.weight, norm.bias, linear.weight, linear.bias]
    grad = torch.randn(11, 5, dtype=torch.float64)
    ours, plain = norm_linear(norm, linear.weight, linear.bias, x), linear(norm(x))
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
    for mine, other in zip(
        torch.autograd.grad(ours, wanted, grad), torch.autograd.grad(plain, wanted, grad), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


def test_numerical_gradients_agree() -> None:
    torch.manual_seed(0)
    norm, linear = nn.LayerNorm(4).double(), nn.Linear(4, 3).double()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm_linear(norm, linear.weight, linear.bias, x), (x,))


def test_folded_with_an_embedding_it_is_the_three_in_a_row_and_so_are_its_gradients() -> None:
    torch.manual_seed(0)
    embed, norm, linear = nn.Linear(3, 9).double(), nn.LayerNorm(9).double(), nn.Linear(9, 5).double()
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.randn(11, 3, dtype=torch.float64, requires_grad=True)
    wanted = [x, *embed.parameters(), *norm.parameters(), *linear.parameters()]
    grads = torch.randn(11, 9, dtype=torch.float64), torch.randn(11, 5, dtype=torch.float64)
    ours, plain = embedded_norm_linear(embed, norm, linear, x), (embed(x), linear(norm(embed(x))))
    for mine, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)
    found = (torch.autograd.grad(outputs, wanted, grads) for outputs in (ours, plain))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


def test_under_autocast_products_are_bfloat16_and_gradients_nearly_the_same() -> None:
    torch.manual_seed(0)
    embed, norm, linear = nn.Linear(3, 64), nn.LayerNorm(64), nn.Linear(64, 5)
    x = torch.randn(40, 3)
    wanted = [*embed.parameters(), *norm.parameters(), *linear.parameters()]

    def in_a_row() -> torch.Tensor:
        return norm_linear(norm, linear.weight, linear.bias, embed(x))

    def folded() -> torch.Tensor:
        return embedded_norm_linear(embed, norm, linear, x)[1]

    for ours in (in_a_row, folded):
        exact = torch.autograd.grad(ours().square().mean(), wanted, allow_unused=True)
        with torch.autocast("cpu", torch.bfloat16):
            out = ours()
        assert out.dtype == torch.bfloat16
        found = torch.autograd.grad(out.float().square().mean(), wanted, allow_unused=True)
        for mine, other in zip(found, exact, strict=True):
            assert mine.dtype == torch.float32
            assert (mine - other).norm() < 0.03 * other.norm() + 1e-3
