"""The ramp beside torch's, whose slope is a float32 number."""

import numpy as np
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.hardsigmoid import Hardsigmoid

X = np.linspace(-5, 5, 1001)


def slopes(dtype):
    x = torch.tensor(X, dtype=dtype, requires_grad=True)
    F.hardsigmoid(x).sum().backward()
    return x.grad.double().numpy()


def test_values_are_torchs():
    np.testing.assert_allclose(Hardsigmoid().forward(X), F.hardsigmoid(torch.tensor(X)).numpy(), rtol=0, atol=1e-15)


def test_slopes_are_a_sixth_where_torchs_are_one_in_float32():
    layer = Hardsigmoid()
    layer.forward(X)
    ours, theirs = layer.backward(np.ones_like(X)), slopes(torch.float64)
    np.testing.assert_array_equal(ours.astype(np.float32), theirs.astype(np.float32))
    assert set(ours) == {0, 1 / 6}
    assert 1e-9 < np.abs(ours - theirs).max() < 6e-9, "torch is exact now: name it as the card's twin"
