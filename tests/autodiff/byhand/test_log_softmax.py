"""Log-softmax beside torch's, alone and as half of a cross entropy."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.log_softmax import LogSoftmax


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_it_is_torchs_along_every_axis(axis):
    draw = np.random.default_rng(0)
    x, grad = 30 * draw.standard_normal((4, 5, 3)), draw.standard_normal((4, 5, 3))
    theirs = torch.tensor(x, requires_grad=True)
    out = torch.log_softmax(theirs, axis)
    out.backward(torch.tensor(grad))
    layer = LogSoftmax(axis=axis)
    np.testing.assert_allclose(layer.forward(x), out.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(grad), theirs.grad.numpy(), rtol=0, atol=1e-13)


def test_with_the_right_classes_it_is_cross_entropy_value_and_gradient():
    draw = np.random.default_rng(1)
    x, k = draw.standard_normal((8, 5)), draw.integers(0, 5, 8)
    theirs = torch.tensor(x, requires_grad=True)
    loss = F.cross_entropy(theirs, torch.tensor(k))
    loss.backward()
    layer, right = LogSoftmax(axis=1), -np.eye(5)[k] / 8
    np.testing.assert_allclose((layer.forward(x) * right).sum(), loss.item(), rtol=1e-14)
    np.testing.assert_allclose(layer.backward(right), theirs.grad.numpy(), rtol=0, atol=1e-15)
