"""Training in NumPy: what a state holds is copied back, a loss that is not finite changes nothing."""

import copy

import numpy as np
import pytest
import torch

from shinso.autodiff.byhand.affine import Affine
from shinso.autodiff.byhand.flatten import Flatten
from shinso.autodiff.byhand.sequential import Sequential
from shinso.data.examples import open_data
from shinso.learn.by_hand import ByHand, by_layers
from shinso.learn.supervised import Plan


class Descent:
    """A rule with a memory: the last gradients."""

    def __init__(self):
        self.lr, self.last = 0.1, {}

    def update(self, params, grads):
        for name in params:
            params[name] -= self.lr * grads[name]
            self.last.setdefault(name, np.zeros_like(params[name]))[...] = grads[name]


def made(gradient=by_layers):
    draw = np.random.default_rng(0)
    weight = draw.normal(0, 1 / 28, (784, 10)).astype(np.float32)
    network = Sequential(Flatten(), Affine(weight, np.zeros(10, np.float32)))
    return ByHand(network, Descent(), open_data("digits"), Plan(epochs=2, batch_size=100, seed=0), gradient)


def test_restoring_writes_into_the_layers_own_memory_and_not_into_the_state():
    program = made()
    for i in range(3):
        program.step(i)
    kept = copy.deepcopy(program.state())
    given = copy.deepcopy(kept)
    own = program.network.params["1.weight"]
    loss = program.step(3)
    program.restore(given)
    assert program.network.params["1.weight"] is own
    assert program.step(3) == loss
    assert np.array_equal(given["params"]["1.weight"], kept["params"]["1.weight"])
    assert np.array_equal(given["rule"]["last"]["1.bias"], kept["rule"]["last"]["1.bias"])


def test_the_module_shows_the_layers_memory():
    program = made()
    module = program.networks()["model"]
    before = module.state_dict()["1_weight"].clone()
    program.step(0)
    assert not torch.equal(module.state_dict()["1_weight"], before)
    assert np.array_equal(module.state_dict()["1_weight"].numpy(), program.network.params["1.weight"])


def test_a_loss_that_is_not_finite_leaves_the_parameters():
    program = made(lambda network, x, y: (float("nan"), {}))
    before = copy.deepcopy(program.state()["params"])
    assert np.isnan(program.step(0)["loss"])
    assert all(np.array_equal(before[name], array) for name, array in program.network.params.items())


def test_the_evaluation_is_the_mean_over_every_example():
    program = made()
    split = program.data.validation
    inputs = split.inputs.numpy() / 255
    inputs = (inputs - program.data.about.mean[0]) / program.data.about.std[0]
    scores = torch.tensor(program.network.forward(inputs.astype(np.float32)))
    measured = program.evaluate("validation")
    assert measured["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(scores, split.targets)), rel=1e-5)
    assert measured["accuracy"] == pytest.approx(float((scores.argmax(1) == split.targets).double().mean()))
