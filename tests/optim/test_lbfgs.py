"""L-BFGS is torch's own class; on a quadratic it agrees with SciPy's, and with an exact search it ends in n steps."""

import numpy as np
import pytest
import torch
from scipy import optimize

from shinso.optim.lbfgs import LBFGS


def test_it_is_torchs_class():
    assert LBFGS is torch.optim.LBFGS


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_it_finds_the_minimum_that_scipy_finds(search):
    draw = np.random.default_rng(0)
    root = draw.normal(size=(6, 6))
    a, b = root @ root.T + np.eye(6), draw.normal(size=6)
    theirs = optimize.minimize(lambda x: 0.5 * x @ a @ x - b @ x, np.zeros(6), jac=lambda x: a @ x - b,
                               method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 1e-16})
    w = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    matrix, vector = torch.tensor(a), torch.tensor(b)
    optimiser = LBFGS([w], lr=1.0 if search else 0.5, max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-14,
                      line_search_fn=search)

    def closure():
        optimiser.zero_grad()
        loss = 0.5 * w @ matrix @ w - vector @ w
        loss.backward()
        return loss

    optimiser.step(closure)
    np.testing.assert_allclose(w.detach().numpy(), np.linalg.solve(a, b), atol=1e-7)
    np.testing.assert_allclose(w.detach().numpy(), theirs.x, atol=1e-5)
