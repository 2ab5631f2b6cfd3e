"""The LSTM is torch's after reordering the gates, forwards, backwards and in halves."""

import numpy as np
import torch
from torch import nn

from shinso.autodiff.byhand.lstm import LSTM, example


def to_torch(columns):
    """(.., 4 units) in the order f, g, i, o -> (4 units, ..) in torch's i, f, g, o."""
    f, g, i, o = np.split(columns, 4, axis=-1)
    return np.concatenate((i, f, g, o), axis=-1).T


def twins():
    layer, inputs = example(np.random.default_rng(0))
    theirs = nn.LSTM(3, 5).double()
    with torch.no_grad():
        for name, mine in (("weight_ih_l0", "input_weight"), ("weight_hh_l0", "state_weight"), ("bias_ih_l0", "bias")):
            getattr(theirs, name).copy_(torch.tensor(to_torch(layer.params[mine])))
        theirs.bias_hh_l0.zero_()
    return layer, inputs, theirs


def test_it_is_torchs_module_with_every_gradient():
    layer, inputs, theirs = twins()
    x, h, c = (torch.tensor(a, requires_grad=True) for a in inputs)
    out, (_, last) = theirs(x, (h[None], c[None]))
    np.testing.assert_allclose(layer.forward(*inputs), out.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.cell, last[0].detach().numpy(), rtol=1e-12, atol=1e-12)
    draw = np.random.default_rng(1)
    grad, cell_grad = draw.normal(size=out.shape), draw.normal(size=inputs[2].shape)
    torch.autograd.backward([out, last], [torch.tensor(grad), torch.tensor(cell_grad)[None]])
    for mine, other in zip(layer.backward(grad, cell_grad), (x, h, c), strict=True):
        np.testing.assert_allclose(mine, other.grad.numpy(), rtol=1e-12, atol=1e-12)
    for mine, name in (("input_weight", "weight_ih_l0"), ("state_weight", "weight_hh_l0"), ("bias", "bias_ih_l0")):
        np.testing.assert_allclose(to_torch(layer.grads[mine]), getattr(theirs, name).grad.numpy(), rtol=1e-12,
                                   atol=1e-12)


def test_two_halves_backwards_are_the_whole():
    layer, (x, h, c), _ = twins()
    grad = np.random.default_rng(1).normal(size=(4, 2, 5))
    layer.forward(x, h, c)
    whole = layer.backward(grad)
    weights = layer.grads
    first = LSTM(*layer.params.values())
    out = first.forward(x[:2], h, c)
    layer.forward(x[2:], out[-1], first.cell)
    dx2, dh, dc = layer.backward(grad[2:])
    earlier = grad[:2].copy()
    earlier[-1] += dh
    dx1, dh, dc = first.backward(earlier, dc)
    for mine, other in zip((np.concatenate((dx1, dx2)), dh, dc), whole, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)
    for name in weights:
        np.testing.assert_allclose(first.grads[name] + layer.grads[name], weights[name], rtol=1e-12, atol=1e-12)


def test_no_time_at_all_hands_the_cells_gradient_through_as_a_new_array():
    layer, (x, h, c), _ = twins()
    y = layer.forward(x[:0], h, c)
    sent = np.ones_like(c)
    _, dh, dc = layer.backward(y, sent)
    assert not dh.any() and np.array_equal(dc, sent) and dc is not sent
