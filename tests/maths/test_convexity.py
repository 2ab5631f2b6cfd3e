"""The search finds what is not convex, and prints it."""

import numpy as np
import pytest
import torch

from shinso.core.errors import UserError
from shinso.maths.convexity import refute, two_layer_loss


def uniform(rng):
    return rng.uniform(-2, 2, 3)


@pytest.mark.parametrize("f", [np.linalg.norm, lambda x: float(x @ x), lambda x: float(np.abs(x).sum()), lambda x: 1.0])
def test_convex_functions_withstand(f):
    assert refute(f, uniform, np.random.default_rng(0)) is None


@pytest.mark.parametrize("f", [lambda x: -float(x @ x), lambda x: float(np.sin(x).sum()), lambda x: float(x[0] * x[1])])
def test_others_are_refuted_with_a_line_that_says_where(f):
    found = refute(f, uniform, np.random.default_rng(0))
    assert found is not None and found.excess > 0
    assert f(found.t * found.x + (1 - found.t) * found.y) == found.graph
    assert found.line().startswith("f(") and " > " in found.line() and "\n" not in found.line()


def test_the_two_layer_loss_is_torchs():
    weights = torch.randn(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]], dtype=torch.float64)
    hidden = torch.tanh(torch.nn.functional.linear(x, weights[:6].view(2, 3)[:, :2], weights[:6].view(2, 3)[:, 2]))
    loss = torch.nn.functional.mse_loss(hidden @ weights[6:8] + weights[8], x.prod(1))
    assert two_layer_loss(weights.numpy()) == pytest.approx(float(loss), abs=1e-14)


def test_a_function_that_is_not_finite_is_told():
    with pytest.raises(UserError, match="finite"):
        refute(lambda x: float("nan"), uniform, np.random.default_rng(0))
    with pytest.raises(UserError, match="tries"):
        refute(lambda x: 1.0, uniform, np.random.default_rng(0), 0)
