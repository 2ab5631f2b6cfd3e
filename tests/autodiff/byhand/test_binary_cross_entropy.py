"""Binary cross entropy against torch, at the ends too, and from logits."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.binary_cross_entropy import BinaryCrossEntropy, BinaryCrossEntropyFromLogits
from shinso.core.errors import UserError


@pytest.mark.parametrize("scale", [1, 30, 1000])
def test_from_logits_it_is_torchs(scale):
    draw = np.random.default_rng(0)
    x, t, loss = draw.normal(0, scale, (20, 3)), draw.uniform(size=(20, 3)), BinaryCrossEntropyFromLogits()
    other = torch.tensor(x, requires_grad=True)
    out = F.binary_cross_entropy_with_logits(other, torch.tensor(t))
    out.backward()
    assert loss.forward(x, t) == pytest.approx(out.item(), rel=1e-13)
    np.testing.assert_allclose(loss.backward(), other.grad.numpy(), atol=1e-15)


def test_at_certainty_it_is_torchs_too():
    y, t, loss = np.array([0.0, 1.0, 0.0, 1.0, 0.5]), np.array([1.0, 0.0, 0.0, 1.0, 0.5]), BinaryCrossEntropy()
    other = torch.tensor(y, requires_grad=True)
    out = F.binary_cross_entropy(other, torch.tensor(t))
    out.backward()
    assert loss.forward(y, t) == pytest.approx(out.item(), rel=1e-15)
    np.testing.assert_allclose(loss.backward(), other.grad.numpy(), rtol=1e-8)  # torch adds 1e-12 in float32


@pytest.mark.parametrize("bad", [np.array([1.01]), np.array([-0.1]), np.array([np.nan])])
def test_what_is_no_probability_is_refused(bad):
    with pytest.raises(UserError, match="no probabilities"):
        BinaryCrossEntropy().forward(bad, np.ones(1))


def test_single_precision_logits_stay_single():
    loss = BinaryCrossEntropyFromLogits()
    loss.forward(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32))
    assert loss.backward().dtype == np.float32
