"""A network of layers by hand, trained by rules by hand, walks torch's loss curve; and learns the digits."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.adam_update import Adam
from shinso.autodiff.byhand.affine import Affine, drawn
from shinso.autodiff.byhand.batch_norm import BatchNorm
from shinso.autodiff.byhand.cross_entropy import CrossEntropy
from shinso.autodiff.byhand.dropout import Dropout
from shinso.autodiff.byhand.momentum_update import Momentum
from shinso.autodiff.byhand.relu import ReLU
from shinso.autodiff.byhand.sequential import Sequential
from shinso.autodiff.byhand.sgd_update import SGD
from shinso.data.examples import open_data

STEPS, SIZES = 200, (20, 16, 12, 5)
RULES = {
    "sgd": (lambda: SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (lambda: Momentum(0.05), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    "adam": (lambda: Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
}


def batches(steps):
    draw = np.random.default_rng(3)
    centres = draw.normal(size=(SIZES[-1], SIZES[0]))
    for _ in range(steps):
        classes = draw.integers(0, SIZES[-1], 32)
        yield centres[classes] + draw.normal(size=(32, SIZES[0])), classes


def by_hand(draw, *, norm=False):
    """Affine, ReLU, Affine, ReLU, Affine; with `norm` a batch normalisation before each bend."""
    layers = []
    for n, m in pairwise(SIZES[:-1]):
        layers += [drawn(n, m, draw, np.float64), *([BatchNorm(m)] if norm else []), ReLU()]
    return Sequential(*layers, drawn(SIZES[-2], SIZES[-1], draw, np.float64))


def in_torch(network):
    """The same network with the same numbers."""
    layers = []
    for layer in network.layers:
        if isinstance(layer, Affine):
            layers.append(torch.nn.Linear(*layer.params["weight"].shape).double())
            with torch.no_grad():
                layers[-1].weight.copy_(torch.tensor(layer.params["weight"].T))
                layers[-1].bias.copy_(torch.tensor(layer.params["bias"]))
        else:
            norm = isinstance(layer, BatchNorm)
            layers.append(torch.nn.BatchNorm1d(len(layer.params["bias"])).double() if norm else torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("norm", [False, True])
def test_the_loss_curve_is_torchs_to_1e_10(name, norm):
    ours = by_hand(np.random.default_rng(1), norm=norm)
    theirs = in_torch(ours)
    loss, rule, optimiser = CrossEntropy(), RULES[name][0](), RULES[name][1](theirs.parameters())
    curves = []
    for x, t in batches(STEPS):
        value = loss.forward(ours.forward(x), t)
        ours.backward(loss.backward())
        rule.update(ours.params, ours.grads)
        out = F.cross_entropy(theirs(torch.tensor(x)), torch.tensor(t))
        optimiser.zero_grad()
        out.backward()
        optimiser.step()
        curves.append((value, out.item()))
    mine, other = np.array(curves).T
    assert len(mine) == STEPS and mine[-20:].mean() < 0.5 * mine[:5].mean()
    np.testing.assert_allclose(mine, other, rtol=0, atol=1e-10)


def test_without_the_input_gradient_the_walk_is_the_same():
    curves = []
    for wanted in (True, False):
        network, loss, rule = by_hand(np.random.default_rng(1)), CrossEntropy(), Adam(0.01)
        network.layers[0].wants_input_gradient = wanted
        values = []
        for x, t in batches(50):
            values.append(loss.forward(network.forward(x), t))
            network.backward(loss.backward())
            rule.update(network.params, network.grads)
        curves.append(values)
    assert curves[0] == curves[1]


def pictures(name):
    """Training and test part of a data set as float32 rows from 0 to 1, with their classes."""
    data = open_data(name)
    return [(part.inputs.flatten(1).numpy().astype(np.float32) / 255, part.targets.numpy())
            for part in (data.train, data.test)]


def test_it_learns_the_digits_in_single_precision():
    (x, t), (test_x, test_t) = pictures("digits")
    draw = np.random.default_rng(0)
    network = Sequential(drawn(784, 64, draw), ReLU(), Dropout(0.2, draw), drawn(64, 10, draw))
    loss, rule = CrossEntropy(), Adam(0.003)
    for _ in range(15):
        for rows in np.array_split(draw.permutation(len(x)), len(x) // 50):
            loss.forward(network.forward(x[rows]), t[rows])
            network.backward(loss.backward())
            rule.update(network.params, network.grads)
    network.training = False
    assert all(array.dtype == np.float32 for array in network.params.values())
    assert (network.forward(test_x).argmax(1) == test_t).mean() > 0.93


@pytest.mark.slow
def test_it_reaches_98_percent_on_mnist(real_data):
    (x, t), (test_x, test_t) = pictures("mnist")
    draw = np.random.default_rng(0)
    first = drawn(784, 128, draw)
    first.wants_input_gradient = False
    network = Sequential(first, ReLU(), drawn(128, 64, draw), ReLU(), drawn(64, 10, draw))
    loss, rule, done, total = CrossEntropy(), Adam(), 0, 10 * (len(x) // 100)
    while done < total:
        for rows in np.array_split(draw.permutation(len(x)), len(x) // 100):
            rule.lr = 0.002 * (1 - done / total)
            loss.forward(network.forward(x[rows]), t[rows])
            network.backward(loss.backward())
            rule.update(network.params, network.grads)
            done += 1
    assert (network.forward(test_x).argmax(1) == test_t).mean() >= 0.98
