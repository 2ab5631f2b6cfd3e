"""The container against torch's, with its names."""

import numpy as np
import pytest
import torch

from shinso.autodiff.byhand.affine import drawn
from shinso.autodiff.byhand.dropout import Dropout
from shinso.autodiff.byhand.relu import ReLU
from shinso.autodiff.byhand.sequential import Sequential
from shinso.autodiff.byhand.tanh import Tanh


def network():
    """The autoencoder's encoder of the course: Linear, ReLU, Linear, ReLU, Linear, then tanh."""
    draw = np.random.default_rng(0)
    sizes = ((6, 5), (5, 4), (4, 3))
    one, two, three = (drawn(n, m, draw, np.float64) for n, m in sizes)
    theirs = torch.nn.Sequential(*(part for n, m in sizes for part in (torch.nn.Linear(n, m), torch.nn.ReLU())))[:-1]
    return Sequential(one, ReLU(), two, ReLU(), three), torch.nn.Sequential(*theirs).double()


def test_names_and_values_are_those_of_torch():
    ours, theirs = network()
    state = theirs.state_dict()
    assert list(ours.params) == list(state) == [f"{n}.{name}" for n in (0, 2, 4) for name in ("weight", "bias")]
    for name, array in state.items():
        ours.params[name][...] = array.numpy().T
    x = np.random.default_rng(1).normal(size=(7, 6))
    other = torch.tensor(x, requires_grad=True)
    out, last = theirs(other).tanh(), Tanh()
    np.testing.assert_allclose(last.forward(ours.forward(x)), out.detach().numpy(), atol=1e-12)
    out.backward(torch.ones_like(out))
    np.testing.assert_allclose(ours.backward(last.backward(np.ones((7, 3)))), other.grad.numpy(), atol=1e-12)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(ours.grads[name], parameter.grad.numpy().T, atol=1e-12)


def test_parameters_are_the_layers_own():
    ours, _ = network()
    ours.params["2.bias"] = np.full(4, 7.0)
    assert ours.layers[2].params["bias"][0] == 7
    assert len(ours.params) == 6 and len(ours.grads) == 0


@pytest.mark.parametrize("name", ["9.weight", "weight", "1.weight", "0.other", ""])
def test_a_name_of_nothing_is_no_key(name):
    ours, _ = network()
    assert name not in ours.params
    with pytest.raises(KeyError):
        _ = ours.params[name]


def test_training_reaches_every_layer_that_has_it():
    inner = Dropout(0.5, np.random.default_rng(0))
    chain = Sequential(Dropout(0.5, np.random.default_rng(1)), Sequential(inner, ReLU()))
    assert chain.training
    chain.training = False
    assert not chain.training and not inner.training
    assert np.array_equal(chain.forward(np.ones(5)), np.ones(5))
