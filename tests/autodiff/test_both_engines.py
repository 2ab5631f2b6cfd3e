"""The same network from the same start, trained by torch, by the tape and by layers by hand: one loss curve.

float64, 40 steps each, on the packaged digits; the three share nothing but the first weights and the batches.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as TF

from shinso.autodiff import functions as F
from shinso.autodiff.byhand.adam_update import Adam
from shinso.autodiff.byhand.affine import Affine
from shinso.autodiff.byhand.cross_entropy import CrossEntropy
from shinso.autodiff.byhand.lstm import LSTM
from shinso.autodiff.byhand.momentum_update import Momentum
from shinso.autodiff.tensor import Tensor
from shinso.basics.lenet_by_hand import lenet, scores
from shinso.data.digits import originals
from shinso.data.examples import open_data
from shinso.learn.by_hand import by_layers

STEPS, BATCH = 40, 32
RULES = {"momentum": (lambda: Momentum(0.1, 0.9), lambda p: torch.optim.SGD(p, 0.1, 0.9)),
         "adam": (lambda: Adam(0.01), lambda p: torch.optim.Adam(p, 0.01))}


def batches(images, labels):
    """(inputs, classes) of each step."""
    for k in range(STEPS):
        rows = (np.arange(BATCH) + k * BATCH) % len(labels)
        yield images[rows], labels[rows]


def curve(params, rule, data, gradient):
    """Losses of a training in NumPy: `gradient(params, x, y)` gives the loss and the gradients."""
    losses = []
    for x, y in batches(*data):
        loss, grads = gradient(params, x, y)
        rule.update(params, grads)
        losses.append(float(loss))
    return losses


def taped(program):
    """`program(leaves, x)` recorded: loss and gradients from the tape."""
    def gradient(params, x, y):
        leaves = {name: Tensor(array, requires_grad=True) for name, array in params.items()}
        loss = F.cross_entropy(program(leaves, x), y)
        loss.backward()
        return loss.data, {name: leaf.grad for name, leaf in leaves.items()}

    return gradient


def torch_curve(model, optimiser, data):
    losses = []
    for x, y in batches(*data):
        optimiser.zero_grad()
        loss = TF.cross_entropy(model(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def copies(params):
    return {name: array.copy() for name, array in params.items()}


def agree(*curves):
    for other in curves[1:]:
        np.testing.assert_allclose(other, curves[0], rtol=1e-10, atol=1e-10)
    assert curves[0][-1] < 0.9 * curves[0][0], "nothing was learned, so nothing was compared"
    assert len({tuple(one) for one in curves}) > 1, "three computations that agree to the last bit are one computation"


def by_hand(network):
    """The gradient of `curve` by the network's own layers, whose parameters are the given ones."""
    return lambda params, x, y: by_layers(network, x, y)


def digits():
    data = open_data("digits").train
    return data.inputs.numpy() / 255, data.targets.numpy()


@pytest.mark.parametrize("rule", RULES)
def test_lenet_has_one_loss_curve(rule):
    ours, theirs = RULES[rule]
    network = lenet(np.random.default_rng(0), dtype=np.float64)
    start = copies(network.params)

    model = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                          nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84),
                          nn.ReLU(), nn.Linear(84, 10)).double()
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), start.values(), strict=True):
            parameter.copy_(torch.tensor(array.T if array.ndim == 2 else array))
    agree(torch_curve(model, theirs(model.parameters()), digits()),
          curve(dict(network.params), ours(), digits(), by_hand(network)),
          curve(copies(start), ours(), digits(), taped(scores)))


class Reader(nn.Module):
    """An LSTM that reads a picture row by row, and a linear layer on its last state."""

    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(8, 20), nn.Linear(20, 10)

    def forward(self, x):
        return self.out(self.lstm(x.transpose(0, 1))[0][-1])


def as_torch(params):
    """Our parameters under torch's names; its gates lie in the order i, f, g, o, one above the other."""
    def gates(columns):
        f, g, i, o = np.split(columns, 4, axis=-1)
        return torch.tensor(np.concatenate((i, f, g, o), axis=-1).T)

    return {"lstm.weight_ih_l0": gates(params["input_weight"]), "lstm.weight_hh_l0": gates(params["state_weight"]),
            "lstm.bias_ih_l0": gates(params["bias"]), "lstm.bias_hh_l0": torch.zeros(80, dtype=torch.float64),
            "out.weight": torch.tensor(params["out_weight"].T), "out.bias": torch.tensor(params["out_bias"])}


def reader_by_hand(params, x, y):
    """Loss and gradients through the layers by hand, back through time."""
    layer = LSTM(params["input_weight"], params["state_weight"], params["bias"])
    out, criterion = Affine(params["out_weight"], params["out_bias"]), CrossEntropy()
    nothing = np.zeros((len(x), 20))
    states = layer.forward(x.transpose(1, 0, 2), nothing, nothing)
    loss = criterion.forward(out.forward(states[-1]), y)
    grad = np.zeros_like(states)
    grad[-1] = out.backward(criterion.backward())
    layer.backward(grad)
    return loss, {**layer.grads, "out_weight": out.grads["weight"], "out_bias": out.grads["bias"]}


def reader_on_tape(p, x):
    """The same as a recorded loop."""
    h = c = np.zeros((len(x), 20))
    for row in x.transpose(1, 0, 2):
        a = F.affine(row, p["input_weight"], p["bias"]) + F.matmul(h, p["state_weight"])
        f, g, i, o = (a[:, 20 * k : 20 * k + 20] for k in range(4))
        c = F.sigmoid(f) * c + F.tanh(g) * F.sigmoid(i)
        h = F.sigmoid(o) * F.tanh(c)
    return F.affine(h, p["out_weight"], p["out_bias"])


@pytest.mark.parametrize("rule", RULES)
def test_an_lstm_has_one_loss_curve(rule):
    ours, theirs = RULES[rule]
    draw = np.random.default_rng(0)
    start = {"input_weight": draw.normal(0, 0.3, (8, 80)), "state_weight": draw.normal(0, 0.2, (20, 80)),
             "bias": draw.normal(0, 0.1, 80), "out_weight": draw.normal(0, 0.3, (20, 10)), "out_bias": np.zeros(10)}
    model = Reader().double()
    model.load_state_dict(as_torch(start))
    model.lstm.bias_hh_l0.requires_grad_(False)  # ours has one bias
    small, labels = originals()
    data = small / 16.0, labels
    agree(torch_curve(model, theirs([p for p in model.parameters() if p.requires_grad]), data),
          curve(copies(start), ours(), data, reader_by_hand),
          curve(copies(start), ours(), data, taped(reader_on_tape)))


@pytest.mark.parametrize("rule", RULES)
def test_a_perceptron_of_three_layers_has_one_loss_curve(rule):
    from shinso.autodiff.byhand.relu import ReLU
    from shinso.autodiff.byhand.sequential import Sequential

    ours, theirs = RULES[rule]
    draw, sizes = np.random.default_rng(0), (64, 40, 30, 10)
    layers = [Affine(draw.normal(0, (2 / a) ** 0.5, (a, b)), np.zeros(b)) for a, b in pairwise(sizes)]
    network = Sequential(layers[0], ReLU(), layers[1], ReLU(), layers[2])
    start = copies(network.params)

    def program(p, x):
        h = F.relu(F.affine(x, p["0.weight"], p["0.bias"]))
        return F.affine(F.relu(F.affine(h, p["2.weight"], p["2.bias"])), p["4.weight"], p["4.bias"])

    model = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 10)).double()
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), start.values(), strict=True):
            parameter.copy_(torch.tensor(array.T if array.ndim == 2 else array))
    small, labels = originals()
    data = small.reshape(-1, 64) / 16.0, labels
    agree(torch_curve(model, theirs(model.parameters()), data),
          curve(dict(network.params), ours(), data, by_hand(network)),
          curve(copies(start), ours(), data, taped(program)))
