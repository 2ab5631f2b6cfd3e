"""Batch normalisation against torch's: both modes, running values, images and points."""

import numpy as np
import pytest
import torch

from shinso.autodiff.byhand.batch_norm import BatchNorm
from shinso.core.errors import UserError


def pair(shape, eps=1e-5, momentum=0.1):
    """Ours and torch's with the same parameters and running values."""
    draw = np.random.default_rng(0)
    ours = BatchNorm(shape[1], eps, momentum)
    kind = torch.nn.BatchNorm2d if len(shape) == 4 else torch.nn.BatchNorm1d
    theirs = kind(shape[1], eps, momentum).double()
    ours.params = {"weight": draw.normal(size=shape[1]), "bias": draw.normal(size=shape[1])}
    theirs.load_state_dict({name: torch.tensor(a) for name, a in ours.params.items()}, strict=False)
    return ours, theirs


@pytest.mark.parametrize("shape", [(2, 3), (20, 4), (5, 3, 4, 2), (1, 2, 3, 3), (6, 2, 5)])
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_it_is_torchs_in_training_and_afterwards(shape, eps):
    ours, theirs = pair(shape, eps)
    draw = np.random.default_rng(1)
    for round_ in range(4):
        ours.training = round_ < 3
        theirs.train(ours.training)
        x, grad = draw.normal(2, 3, shape), draw.normal(size=shape)
        other = torch.tensor(x, requires_grad=True)
        out = theirs(other)
        theirs.zero_grad()
        out.backward(torch.tensor(grad))
        np.testing.assert_allclose(ours.forward(x), out.detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(ours.backward(grad), other.grad.numpy(), atol=1e-12)
        np.testing.assert_allclose(ours.grads["weight"], theirs.weight.grad.numpy(), atol=1e-12)
        np.testing.assert_allclose(ours.grads["bias"], theirs.bias.grad.numpy(), atol=1e-12)
        np.testing.assert_allclose(ours.running_mean, theirs.running_mean.numpy(), atol=1e-12)
        np.testing.assert_allclose(ours.running_var, theirs.running_var.numpy(), atol=1e-12)


def test_in_use_an_example_does_not_depend_on_the_others_and_moves_nothing():
    ours, _ = pair((8, 3))
    x = np.random.default_rng(2).normal(size=(8, 3))
    ours.forward(x)
    ours.training, kept = False, ours.running_var.copy()
    np.testing.assert_allclose(ours.forward(x)[:1], ours.forward(x[:1]), rtol=1e-15)
    assert np.array_equal(ours.running_var, kept)


def test_backward_belongs_to_the_forward_before_it():
    ours, _ = pair((8, 3))
    x = np.random.default_rng(3).normal(size=(8, 3))
    ours.forward(x)
    before = ours.backward(x)
    ours.training = False
    assert np.array_equal(ours.backward(x), before)


def test_one_value_has_no_variance_and_wrong_units_are_told():
    with pytest.raises(UserError, match="1 value per unit has no variance"):
        BatchNorm(3).forward(np.ones((1, 3)))
    with pytest.raises(UserError, match=r"\(5, 4\) has no 3 units"):
        BatchNorm(3).forward(np.ones((5, 4)))
