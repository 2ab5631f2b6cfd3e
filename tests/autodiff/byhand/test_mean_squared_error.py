"""Mean squared error against torch, to the last digits."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.mean_squared_error import MeanSquaredError


@pytest.mark.parametrize("shape", [(7,), (1, 1), (4, 3), (2, 3, 2)])
def test_it_is_torchs_to_1e_15(shape):
    draw = np.random.default_rng(0)
    y, t, loss = draw.normal(size=shape), draw.normal(size=shape), MeanSquaredError()
    other = torch.tensor(y, requires_grad=True)
    out = F.mse_loss(other, torch.tensor(t))
    out.backward()
    assert loss.forward(y, t) == pytest.approx(out.item(), abs=1e-15, rel=1e-15)
    np.testing.assert_allclose(loss.backward(), other.grad.numpy(), atol=1e-15)
    assert loss.forward(y, t) == pytest.approx(((y - t) ** 2).sum() / y.size, rel=1e-15)
