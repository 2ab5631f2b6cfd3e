"""The Keras form against its definition in torch, inside and outside of the clip."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.categorical_cross_entropy import CategoricalCrossEntropy


def theirs(p, t):
    """keras.losses.categorical_crossentropy written with torch's autograd."""
    q = (p / p.sum(-1, keepdim=True)).clamp(1e-7, 1 - 1e-7)
    return -(t * q.log()).sum(-1).mean()


@pytest.mark.parametrize("smallest", [1e-2, 1e-6, 1e-9, 1e-30])
def test_value_and_gradient_are_those_of_the_definition(smallest):
    draw = np.random.default_rng(0)
    p, k, loss = draw.uniform(0.1, 1, (6, 4)), draw.integers(0, 4, 6), CategoricalCrossEntropy()
    p[np.arange(6), k] *= smallest
    other = torch.tensor(p, requires_grad=True)
    out = theirs(other, F.one_hot(torch.tensor(k), 4))
    out.backward()
    assert loss.forward(p, k) == pytest.approx(out.item(), rel=1e-13)
    np.testing.assert_allclose(loss.backward(), other.grad.numpy(), rtol=1e-11, atol=1e-14)
