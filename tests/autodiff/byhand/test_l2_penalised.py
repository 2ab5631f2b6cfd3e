"""The penalty as torch's weight decay, and the closed form as scikit-learn's ridge."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from shinso.autodiff.byhand.l2_penalised import L2Penalty, ridge
from shinso.autodiff.byhand.squared_error import SquaredError
from shinso.core.errors import UserError


def problem():
    draw = np.random.default_rng(0)
    return draw.normal(size=(20, 4)), draw.normal(size=(20, 1))


def test_two_lambda_is_torchs_weight_decay():
    x, y = problem()
    w, theirs = np.zeros((4, 1)), torch.zeros(4, 1, dtype=torch.float64, requires_grad=True)
    data, penalty = SquaredError(), L2Penalty(0.7)
    optimiser = torch.optim.SGD([theirs], lr=0.01, weight_decay=2 * 0.7)
    for _ in range(300):
        data.forward(x @ w, y)
        penalty.forward(w)
        w = w - 0.01 * (x.T @ data.backward() + penalty.backward())
        optimiser.zero_grad()
        ((torch.tensor(x) @ theirs - torch.tensor(y)).square().sum() / 2).backward()
        optimiser.step()
    np.testing.assert_allclose(w, theirs.detach().numpy(), atol=1e-12)


def test_the_closed_form_is_scikit_learns_with_twice_lambda():
    x, y = problem()
    theirs = Ridge(alpha=2 * 0.7, fit_intercept=False).fit(x, y).coef_.ravel()
    np.testing.assert_allclose(ridge(x, y, 0.7).ravel(), theirs, atol=1e-12)


def test_a_negative_strength_is_refused():
    with pytest.raises(UserError, match="L2 penalty: lambda = -1"):
        L2Penalty(-1)
