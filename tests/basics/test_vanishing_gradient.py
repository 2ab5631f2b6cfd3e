"""What arrives below: against autograd, under the bound, and what it does to learning."""

import dataclasses
from itertools import pairwise

import pytest
import torch
from oracles import records

from shinso.basics.vanishing_gradient import (
    STEEPEST,
    VARIANTS,
    Setup,
    bend,
    build,
    errors,
    forward,
    measured,
    network,
    slope,
    train,
)
from shinso.core.errors import UserError
from shinso.core.seed import generator


@pytest.mark.parametrize("activation", STEEPEST)
def test_the_slope_is_autograds_and_never_above_its_limit(activation):
    u = torch.linspace(-6, 6, 1200, dtype=torch.float64, requires_grad=True)
    (truth,) = torch.autograd.grad(bend(u, activation).sum(), u)
    assert torch.allclose(slope(u.detach(), activation), truth, atol=1e-15)
    assert float(truth.max()) <= STEEPEST[activation]


@pytest.mark.parametrize("activation", STEEPEST)
@pytest.mark.parametrize("hidden", [(), (4,), (6, 5, 4)])
def test_one_step_is_one_step_of_torchs_sgd(activation, hidden):
    layers = network([7, *hidden, 3], 1.3, generator(1, "test"))
    x, y = torch.randn(9, 7, dtype=torch.float64), torch.randint(3, (9,))
    theirs = [tensor.clone().requires_grad_(True) for layer in layers for tensor in layer]
    h = x
    for k in range(0, len(theirs), 2):
        h = torch.nn.functional.linear(h, theirs[k], theirs[k + 1])
        h = h if k == len(theirs) - 2 else bend(h, activation)
    torch.nn.functional.cross_entropy(h, y).backward()
    torch.optim.SGD(theirs, lr=0.3).step()
    train(layers, x, y, activation, 0.3)
    for ours, other in zip((tensor for layer in layers for tensor in layer), theirs, strict=True):
        assert torch.allclose(ours, other.detach(), atol=1e-14)


@pytest.mark.parametrize("activation", STEEPEST)
def test_there_is_one_error_for_each_layer(activation):
    layers = network([7, 6, 5, 3], 1.0, generator(1, "test"))
    _, sums = forward(layers, torch.randn(9, 7, dtype=torch.float64), activation)
    assert [tuple(d.shape) for d in errors(layers, sums, torch.zeros(9, dtype=torch.long), activation)] == \
        [(9, 6), (9, 5), (9, 3)]


def test_every_sigmoid_layer_takes_at_least_two_thirds_away():
    shares = [measured("sigmoid", depth, 1.0)[0] for depth in range(2, 11)]
    assert all(b < a / 3 for a, b in pairwise(shares))
    assert measured("relu", 10, 2**0.5)[0] > 1e4 * shares[-1]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_bound_holds_row_by_row_and_the_shallow_one_learns(name):
    program = build(dataclasses.replace(VARIANTS[name], steps=150))
    rows = records(program)
    assert all(row["carried"] <= row["carried_bound"] for row in rows)
    assert float(program.evaluate("test")["accuracy_shallow"]) > 0.8


def test_the_other_activation_lets_the_deep_one_learn():
    ends = {}
    for name in ("default", "relu", "tanh"):
        program = build(dataclasses.replace(VARIANTS[name], steps=300))
        records(program)
        ends[name] = float(program.evaluate("test")["accuracy_deep"])
    assert ends["default"] < 0.15 and min(ends["relu"], ends["tanh"]) > 0.7


def test_the_pictures_are_two():
    assert set(build(VARIANTS["smoke"]).pictures()) == {"arrives", "depths"}


@pytest.mark.parametrize("wrong", [{"deep": 0}, {"gain": 0.0}, {"batch_size": 0}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(dataclasses.replace(Setup(), **wrong))
