"""Power normalisation against autograd, in both modes."""

import numpy as np
import pytest
import torch

from shinso.autodiff.byhand.power_normalise import PowerNormalise
from shinso.core.errors import UserError


def theirs(x, mode):
    """The notebook's line in torch."""
    energy = x.norm(dim=1, keepdim=True) ** 2
    return x / (energy.sum() / len(x) if mode == "average" else energy).sqrt()


@pytest.mark.parametrize("mode", ["average", "each"])
@pytest.mark.parametrize("batch", [1, 2, 9])
def test_it_agrees_with_autograd(mode, batch):
    draw = np.random.default_rng(0)
    x, grad, layer = draw.normal(1, 2, (batch, 4)), draw.normal(size=(batch, 4)), PowerNormalise(mode)
    other = torch.tensor(x, requires_grad=True)
    out = theirs(other, mode)
    out.backward(torch.tensor(grad))
    np.testing.assert_allclose(layer.forward(x), out.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(layer.backward(grad), other.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("mode", ["average", "each"])
def test_no_signal_gives_no_signal(mode):
    layer = PowerNormalise(mode)
    assert layer.forward(np.empty((0, 3))).shape == layer.backward(np.empty((0, 3))).shape == (0, 3)


def test_silence_is_refused():
    with pytest.raises(UserError, match="zeros has no scale"):
        PowerNormalise().forward(np.zeros((2, 3)))
    with pytest.raises(UserError, match="zeros has no scale"):
        PowerNormalise("each").forward(np.array([[1.0, 0], [0, 0]]))
    PowerNormalise().forward(np.array([[1.0, 0], [0, 0]]))
