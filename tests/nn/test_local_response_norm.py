"""Local response normalisation beside torch's, in every derivative and memory format."""

import pytest
import torch
from oracles import agree
from torch.nn import functional as F

from shinso.nn.local_response_norm import LocalResponseNorm


@pytest.mark.parametrize(("n", "beta"), [(5, 0.75), (1, 0.75), (3, 0.5), (5, 1.0)])
@pytest.mark.parametrize("maps", [2, 12])
def test_values_and_two_derivatives_are_torchs(n, beta, maps):
    x = torch.randn(2, maps, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = LocalResponseNorm(n, alpha=0.1, beta=beta, k=1.0)
    agree(ours, lambda x: F.local_response_norm(x, n, 0.1 * n, beta, 1.0), x, double=True)


def test_no_gradient_and_channels_last_give_the_same():
    layer, x = LocalResponseNorm(), 20 * torch.randn(2, 7, 6, 5)
    with_gradient = layer(x.clone().requires_grad_())
    torch.testing.assert_close(layer(x), with_gradient.detach(), rtol=0, atol=0)
    last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(last), layer(x))
    assert layer(last).is_contiguous(memory_format=torch.channels_last)


def test_points_without_places_and_half_precision_pass():
    layer = LocalResponseNorm()
    torch.testing.assert_close(layer(torch.ones(3, 8))[0], layer(torch.ones(3, 8, 1, 1))[0, :, 0, 0])
    assert layer(torch.ones(1, 8, 2, 2, dtype=torch.bfloat16).requires_grad_()).dtype == torch.bfloat16


def test_it_says_its_constants():
    assert repr(LocalResponseNorm()) == "LocalResponseNorm(n=5, alpha=0.0001, beta=0.75, k=2)"
