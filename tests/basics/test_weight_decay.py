"""Weight decay on few digits: where the price pays, and what torch calls it."""

from itertools import pairwise

import numpy as np
import torch
from oracles import records
from sklearn.linear_model import Ridge

from shinso.basics import weight_decay
from shinso.basics._few_digits import few_digits


def test_ridge_is_scikit_learns_with_twice_lambda():
    X, Y, *_ = few_digits(80, 0)
    theirs = Ridge(alpha=2 * 0.3, fit_intercept=False, solver="svd").fit(X.numpy(), Y.numpy()).coef_.T
    np.testing.assert_allclose(weight_decay.ridge(X, Y, 0.3).numpy(), theirs, atol=1e-10)


def test_the_penalised_gradient_passes_gradcheck():
    X, Y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    W = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda W: weight_decay.penalised(X, Y, W, 0.4), W)


def test_a_middle_price_answers_unseen_digits_best():
    rows = records(weight_decay.build(weight_decay.VARIANTS["default"]))
    unseen = [row["loss_unseen"] for row in rows]
    best = unseen.index(min(unseen))
    assert 10 < best < len(rows) - 10
    assert unseen[0] > 1.5 * unseen[best] and unseen[-1] > 1.5 * unseen[best]
    assert all(a["loss"] <= b["loss"] for a, b in pairwise(rows)), "the examples only lose"


def test_examples_and_unseen_digits_are_disjoint():
    X, _, others, _ = few_digits(100, 3)
    every = torch.cat([X, others])
    assert len(every) == 1100 and len(X) == 100
