"""Softmax with cross entropy against torch, for classes, shares and pixels."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.cross_entropy import CrossEntropy
from shinso.autodiff.byhand.one_hot import one_hot
from shinso.core.errors import UserError

SHAPES = [(7, 4), (1, 2), (2, 5, 3, 4), (3, 4, 6)]


def against_torch(x, t, reduction):
    loss, other = CrossEntropy(reduction), torch.tensor(x, requires_grad=True)
    out = F.cross_entropy(other, torch.tensor(t), reduction=reduction)
    out.backward()
    assert loss.forward(x, t) == pytest.approx(out.item(), rel=1e-13)
    np.testing.assert_allclose(loss.backward(), other.grad.numpy(), atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("scale", [1, 300])
def test_classes_are_torchs(shape, reduction, scale):
    draw = np.random.default_rng(0)
    x, t = draw.normal(0, scale, shape), draw.integers(0, shape[1], (shape[0], *shape[2:]))
    against_torch(x, t, reduction)


@pytest.mark.parametrize("shape", [(7, 4), (2, 5, 3, 4)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_shares_are_torchs_whether_they_sum_to_one_or_not(shape, reduction):
    draw = np.random.default_rng(1)
    shares = draw.uniform(size=shape)
    if shape == (7, 4):
        against_torch(draw.normal(size=shape), shares, reduction)
    shares /= shares.sum(1, keepdims=True)
    loss, x = CrossEntropy(reduction), draw.normal(size=shape)
    other = torch.tensor(x, requires_grad=True)
    out = -(torch.tensor(shares) * other.log_softmax(1)).sum()
    out = out / (shape[0] * int(np.prod(shape[2:]))) if reduction == "mean" else out
    out.backward()
    assert loss.forward(x, shares) == pytest.approx(out.item(), rel=1e-13)
    np.testing.assert_allclose(loss.backward(), other.grad.numpy(), atol=1e-14)


def test_classes_and_one_hot_rows_are_the_same():
    draw = np.random.default_rng(2)
    x, t, loss = draw.normal(size=(9, 5)), draw.integers(0, 5, 9), CrossEntropy()
    value, back = loss.forward(x, t), loss.backward()
    assert loss.forward(x, one_hot(t, 5)) == pytest.approx(value, rel=1e-15)
    np.testing.assert_allclose(loss.backward(), back, atol=1e-16)


def test_the_articles_value_grows_with_the_batch():
    draw = np.random.default_rng(3)
    x, t = draw.normal(size=(50, 5)), one_hot(draw.integers(0, 5, 50), 5)
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    assert -np.sum(t * np.log(p)) == pytest.approx(50 * CrossEntropy().forward(x, t), rel=1e-13)


@pytest.mark.parametrize(("target", "what"), [
    (np.array([0, 3]), "classes from 0 to 3"), (np.array([-1, 0]), "classes from -1"), (np.array([0]), "the target"),
    (np.array([0.0, 1.0]), "classes are counted"), (np.ones((2, 4)), r"the target has the shape \(2, 4\)"),
])  # fmt: skip
def test_targets_that_do_not_fit_are_told(target, what):
    with pytest.raises(UserError, match=f"cross entropy: {what}"):
        CrossEntropy().forward(np.zeros((2, 3)), target)
