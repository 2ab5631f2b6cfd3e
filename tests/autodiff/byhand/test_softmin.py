"""Softmin beside torch's."""

import numpy as np
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.softmin import Softmin


def test_it_is_torchs_along_the_first_axis():
    draw = np.random.default_rng(0)
    x, grad = 3 * draw.standard_normal((6, 4)), draw.standard_normal((6, 4))
    theirs = torch.tensor(x, requires_grad=True)
    out = F.softmin(theirs, 0)
    out.backward(torch.tensor(grad))
    layer = Softmin(axis=0)
    np.testing.assert_allclose(layer.forward(x), out.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(grad), theirs.grad.numpy(), rtol=0, atol=1e-14)
