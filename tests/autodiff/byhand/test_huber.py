"""Huber's loss against torch for every delta."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.huber import Huber
from shinso.core.errors import UserError


@pytest.mark.parametrize("delta", [0.01, 0.5, 1.0, 2.0, 50.0])
def test_it_is_torchs(delta):
    draw = np.random.default_rng(0)
    y, t, loss = draw.normal(0, 3, (20, 3)), draw.normal(size=(20, 3)), Huber(delta)
    other = torch.tensor(y, requires_grad=True)
    out = F.huber_loss(other, torch.tensor(t), delta=delta)
    out.backward()
    assert loss.forward(y, t) == pytest.approx(out.item(), rel=1e-14)
    np.testing.assert_allclose(loss.backward(), other.grad.numpy(), atol=1e-15)


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan")])
def test_a_delta_that_is_not_positive_is_refused(delta):
    with pytest.raises(UserError, match="Huber loss: delta"):
        Huber(delta)
