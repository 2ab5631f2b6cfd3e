"""AdaGrad's two placements of eps, and torch's default."""

import numpy as np
import pytest
import torch

from shinso.autodiff.byhand.adagrad_update import AdaGrad


@pytest.mark.parametrize("eps", [1e-10, 1e-7, 0.1])
def test_eps_stands_outside_of_the_root(eps):
    params = {"w": np.array([0.0])}
    AdaGrad(0.01, eps).update(params, {"w": np.array([1e-4])})
    theirs = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    theirs.grad = torch.tensor([1e-4], dtype=torch.float64)
    torch.optim.Adagrad([theirs], 0.01, eps=eps).step()
    assert params["w"][0] == pytest.approx(theirs.item(), rel=1e-14)
    assert params["w"][0] == pytest.approx(-0.01 * 1e-4 / (1e-4 + eps), rel=1e-14)
    assert params["w"][0] != pytest.approx(-0.01 * 1e-4 / np.sqrt(1e-8 + eps), rel=1e-6)
