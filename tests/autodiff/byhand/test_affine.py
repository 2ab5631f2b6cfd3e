"""The affine map against torch's linear, whose weight is the transposed one."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.affine import Affine, drawn
from shinso.core.errors import UserError


@pytest.mark.parametrize("shape", [(5, 6), (1, 6), (0, 6), (4, 3, 2), (3, 1, 2, 3)])
def test_it_is_torchs_linear_with_the_weight_transposed(shape):
    draw = np.random.default_rng(0)
    layer, x = Affine(draw.normal(size=(6, 4)), draw.normal(size=4)), draw.normal(size=shape)
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, layer.params["weight"].T.copy(), layer.params["bias"])]
    out = F.linear(theirs[0].flatten(1), theirs[1], theirs[2])
    np.testing.assert_allclose(layer.forward(x), out.detach().numpy(), atol=1e-12)
    grad = draw.normal(size=out.shape)
    out.backward(torch.tensor(grad))
    pairs = zip((layer.backward(grad), layer.grads["weight"].T, layer.grads["bias"]), theirs, strict=True)
    for mine, other in pairs:
        np.testing.assert_allclose(mine, other.grad.numpy(), atol=1e-12)


def test_a_first_layer_need_not_find_the_gradient_of_its_input():
    draw = np.random.default_rng(1)
    layer, x = drawn(6, 4, draw, np.float64), draw.normal(size=(5, 6))
    layer.backward(layer.forward(x))
    full = layer.grads
    layer.wants_input_gradient = False
    assert layer.backward(layer.forward(x)).size == 0
    assert all(np.array_equal(layer.grads[name], full[name]) for name in full)


def test_gradients_of_an_earlier_batch_stay_as_they_were():
    draw = np.random.default_rng(2)
    layer = drawn(3, 2, draw)
    layer.backward(layer.forward(draw.normal(size=(4, 3)).astype(np.float32)))
    before = layer.grads["weight"]
    kept = before.copy()
    layer.backward(layer.forward(draw.normal(size=(4, 3)).astype(np.float32)))
    assert np.array_equal(before, kept)


def test_drawn_weights_have_the_variance_for_a_relu():
    weight = drawn(400, 500, np.random.default_rng(3)).params["weight"]
    assert weight.dtype == np.float32 and weight.var() == pytest.approx(2 / 400, rel=0.02)


@pytest.mark.parametrize("bad", [np.ones((2, 5)), np.ones(()), np.ones((0, 5, 2)), np.ones((2, 3, 4))])
def test_an_input_that_does_not_fit_is_told_with_both_shapes(bad):
    with pytest.raises(UserError, match=rf"affine.*{str(bad.shape)[1:-1]}.*6, 4"):
        Affine(np.ones((6, 4)), np.ones(4)).forward(bad)


def test_a_bias_or_a_gradient_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"affine: the bias has the shape \(3,\), not \(4,\)"):
        Affine(np.ones((6, 4)), np.ones(3))
    layer = Affine(np.ones((6, 4)), np.ones(4))
    layer.forward(np.ones((2, 6)))
    with pytest.raises(UserError, match=r"affine: the gradient has the shape \(4,\), not \(2, 4\)"):
        layer.backward(np.ones(4))
