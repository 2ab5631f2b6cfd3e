"""Matrix completion against torch's autograd; starts stacked together are starts alone."""

import numpy as np
import pytest
import torch

from shinso.autodiff.byhand.matrix_completion import MatrixCompletion, descend, planted
from shinso.core.errors import UserError


def test_value_and_gradient_are_autograds():
    table, observed = planted(2, size=8)
    u, loss = np.random.default_rng(0).normal(size=(3, 8, 2)), MatrixCompletion(observed)
    other = torch.tensor(u, requires_grad=True)
    off = (torch.tensor(table) - other @ other.mT)[:, torch.tensor(observed)]
    off.square().sum().backward()
    assert loss.forward(u, table) == pytest.approx(off.square().sum().item(), rel=1e-13)
    np.testing.assert_allclose(loss.backward(), other.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_stacked_starts_do_not_know_each_other():
    table, observed = planted(1)
    starts, loss = np.random.default_rng(1).normal(size=(3, 20, 2)), MatrixCompletion(observed)
    together = descend(loss, table, starts, 200)
    for start, end in zip(starts, together, strict=True):
        np.testing.assert_allclose(descend(loss, table, start, 200), end, atol=1e-12)


def test_the_planted_table_is_as_promised():
    table, observed = planted(1)
    assert np.linalg.matrix_rank(table) == 2 and (observed == observed.T).all() and 0.4 < observed.mean() < 0.6


def test_shapes_that_do_not_fit_are_told():
    table, observed = planted(1)
    with pytest.raises(UserError, match="matrix completion: the factor"):
        MatrixCompletion(observed).forward(np.ones((19, 2)), table)
    with pytest.raises(UserError, match="matrix completion: the transposed pattern"):
        MatrixCompletion(observed[:3])
