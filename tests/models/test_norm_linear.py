"""LayerNorm and a linear layer in one step are the two in a row, gradients too."""

import torch
from torch import nn

from miso.models.norm_linear import norm_linear


def test_it_is_the_two_in_a_row_and_so_are_its_gradients() -> None:
    torch.manual_seed(0)
    norm, linear = nn.LayerNorm(7).double(), nn.Linear(7, 5).double()
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.randn(11, 7, dtype=torch.float64, requires_grad=True)
    wanted = [x, norm.weight, norm.bias, linear.weight, linear.bias]
    grad = torch.randn(11, 5, dtype=torch.float64)
    ours, plain = norm_linear(norm, linear, x), linear(norm(x))
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
    for mine, other in zip(
        torch.autograd.grad(ours, wanted, grad), torch.autograd.grad(plain, wanted, grad), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


def test_numerical_gradients_agree() -> None:
    torch.manual_seed(0)
    norm, linear = nn.LayerNorm(4).double(), nn.Linear(4, 3).double()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm_linear(norm, linear, x), (x,))
