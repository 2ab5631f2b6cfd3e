"""The branches' losses against torch's autograd, with one branch and with many."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.auxiliary_loss import AuxiliaryLoss
from shinso.core.errors import UserError


@pytest.mark.parametrize("sides", [0, 1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_it_agrees_with_autograd(sides, training):
    draw = np.random.default_rng(0)
    y, t, loss = draw.normal(size=(1 + sides, 6, 4)), draw.integers(0, 4, 6), AuxiliaryLoss()
    loss.training = training
    other = torch.tensor(y, requires_grad=True)
    each = [F.cross_entropy(scores, torch.tensor(t)) for scores in other]
    out = each[0] + (0.3 * sum(each[1:]) if training else 0)
    out.backward()
    assert loss.forward(y, t) == pytest.approx(out.item(), rel=1e-14)
    np.testing.assert_allclose(loss.backward(), other.grad.numpy(), atol=1e-15)


def test_scores_without_branches_are_refused():
    with pytest.raises(UserError, match="auxiliary loss: scores have the shape"):
        AuxiliaryLoss().forward(np.ones((3, 4)), np.array([0, 1, 2]))
