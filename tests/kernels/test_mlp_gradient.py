"""The gradient without a tape equals automatic differentiation, whatever stood in .grad before."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from shinso.kernels.mlp import mlp_gradient, mlp_gradient_plain


def stack(sizes, dtype=torch.float32):
    torch.manual_seed(0)
    layers = [nn.Linear(n, m, dtype=dtype) for n, m in pairwise(sizes)]
    return [layer.weight for layer in layers], [layer.bias for layer in layers]


@pytest.mark.parametrize("sizes", [(7, 3), (7, 5, 3), (20, 16, 9, 4)])
@pytest.mark.parametrize("before", ["none", "garbage", "strided"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_gradients_equal_the_twins(sizes, before, dtype):
    x, y = torch.randn(11, sizes[0], dtype=dtype), torch.randint(sizes[-1], (11,))
    (weights, biases), (twins, twin_biases) = stack(sizes, dtype), stack(sizes, dtype)
    for parameter in (*weights, *biases):
        if before == "garbage":
            parameter.grad = torch.full_like(parameter, float("nan"))
        if before == "strided" and parameter.dim() == 2:
            parameter.grad = torch.full(parameter.shape[::-1], 7.0, dtype=dtype).t()
    loss = mlp_gradient(x, y, weights, biases)
    torch.testing.assert_close(loss, mlp_gradient_plain(x, y, twins, twin_biases))
    assert not loss.requires_grad
    for ours, theirs in zip((*weights, *biases), (*twins, *twin_biases), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_nan_reaches_the_loss_and_every_earlier_gradient():
    weights, biases = stack((4, 6, 3))
    x = torch.randn(5, 4)
    x[2, 1] = float("nan")
    assert mlp_gradient(x, torch.zeros(5, dtype=torch.int64), weights, biases).isnan()
    assert weights[0].grad.isnan().any()
