"""Softmax beside torch's, along every axis."""

import numpy as np
import pytest
import torch

from shinso.autodiff.byhand.softmax import Softmax


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_it_is_torchs_along_every_axis(axis):
    draw = np.random.default_rng(0)
    x, grad = 3 * draw.standard_normal((3, 4, 5)), draw.standard_normal((3, 4, 5))
    theirs = torch.tensor(x, requires_grad=True)
    torch.softmax(theirs, axis).backward(torch.tensor(grad))
    layer = Softmax(axis=axis)
    np.testing.assert_allclose(layer.forward(x), torch.softmax(theirs, axis).detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(grad), theirs.grad.numpy(), rtol=0, atol=1e-14)


def test_the_axis_must_be_named():
    with pytest.raises(TypeError):
        Softmax(1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError):
        Softmax()  # pyright: ignore[reportCallIssue]


def test_huge_scores_in_single_precision_are_finite_both_ways():
    layer = Softmax(axis=1)
    p = layer.forward(np.array([[1e4, -1e4, 1e4], [1e38, 0, -1e38]], np.float32))
    assert p.dtype == np.float32
    np.testing.assert_array_equal(p, [[0.5, 0, 0.5], [1, 0, 0]])
    assert np.isfinite(layer.backward(np.ones((2, 3), np.float32))).all()
