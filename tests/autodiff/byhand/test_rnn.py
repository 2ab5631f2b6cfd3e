"""The simple RNN is torch's, and the double sum of BPTT is autograd's gradient of the unrolled net."""

import numpy as np
import pytest
import torch
from torch import nn
from torch_oracle import agrees

from shinso.autodiff.byhand.rnn import RNN, double_sum, example
from shinso.core.errors import UserError


def test_it_is_the_unrolled_net_with_every_gradient():
    layer, inputs = example(np.random.default_rng(0))

    def unrolled(p, x, s):
        states = []
        for at in x:
            s = torch.tanh(at @ p["input_weight"] + s @ p["state_weight"] + p["bias"])
            states.append(s)
        return torch.stack(states)

    agrees(layer, unrolled, *inputs)


def test_it_is_torchs_module_with_its_weights():
    theirs = nn.RNN(3, 5).double()
    W, U, b, c = (p.detach().numpy() for p in theirs.parameters())
    layer, (x, start) = example(np.random.default_rng(0))
    layer = RNN(W.T.copy(), U.T.copy(), b + c)
    out, _ = theirs(torch.tensor(x), torch.tensor(start)[None])
    np.testing.assert_allclose(layer.forward(x, start), out.detach().numpy(), rtol=1e-12, atol=1e-12)
    grad = np.random.default_rng(1).normal(size=out.shape)
    out.backward(torch.tensor(grad))
    layer.backward(grad)
    for mine, name in (("input_weight", "weight_ih_l0"), ("state_weight", "weight_hh_l0"), ("bias", "bias_ih_l0")):
        np.testing.assert_allclose(layer.grads[mine].T, getattr(theirs, name).grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_double_sum_is_autograd_on_the_unrolled_net(seed):
    draw = np.random.default_rng(seed)
    layer = RNN(draw.normal(size=(2, 3)), draw.normal(size=(3, 3)), draw.normal(size=3))
    x, s, grad = draw.normal(size=(6, 1, 2)), draw.normal(size=(1, 3)), draw.normal(size=(6, 1, 3))
    layer.forward(x, s)
    U = torch.tensor(layer.params["state_weight"], requires_grad=True)
    W, b = torch.tensor(layer.params["input_weight"]), torch.tensor(layer.params["bias"])
    state, loss = torch.tensor(s), 0
    for at, g in zip(torch.tensor(x), torch.tensor(grad), strict=True):
        state = torch.tanh(at @ W + state @ U + b)
        loss = loss + (g * state).sum()
    (theirs,) = torch.autograd.grad(loss, U)
    np.testing.assert_allclose(double_sum(layer, grad, immediate=True), theirs.numpy(), rtol=1e-12, atol=1e-12)
    assert not np.allclose(double_sum(layer, grad, immediate=False), theirs.numpy(), rtol=0.01)


def test_no_time_at_all_gives_the_state_no_gradient():
    layer, (x, start) = example(np.random.default_rng(0))
    y = layer.forward(x[:0], start)
    dx, ds = layer.backward(y)
    assert y.shape == (0, 2, 5) and dx.shape == (0, 2, 3) and not ds.any() and ds.shape == start.shape


def test_shapes_that_do_not_fit_are_refused():
    layer, (x, start) = example(np.random.default_rng(0))
    with pytest.raises(UserError, match="do not fit 3 features"):
        layer.forward(x[:, :, :2], start)
